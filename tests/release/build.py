"""Build wheels and source distributions of the core and of every plug-in, with the same bytes for the same commit.

    python tests/release/build.py dist

The files come from a commit, never from the working folder, so that nothing that is not committed is shipped. Their
times are those of the commit (SOURCE_DATE_EPOCH, https://reproducible-builds.org/specs/source-date-epoch), or of the
environment where it sets one. The build backend is that of the interpreter, whose version requirements.lock holds.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (".", "plugins/diffusers", "plugins/kdiffusion")
CALL = "import sys, setuptools.build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"


def commit_time(commit: str = "HEAD", root: Path = ROOT) -> int:
    """When a commit was made, seconds."""
    return int(_git(root, "log", "-1", "--format=%ct", commit))


def build(target: Path, commit: str = "HEAD", packages: Sequence[str] = PACKAGES, root: Path = ROOT) -> list[Path]:
    """Write the wheel and the source distribution of each package into a folder; their paths, sorted.

    packages: folders relative to the repository. The same commit, interpreter and backend give the same bytes. Raises
    CalledProcessError where git or the backend fails, with what it printed.
    """
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or commit_time(commit, root))
    target.mkdir(parents=True, exist_ok=True)
    target = target.resolve()
    built = []
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        archive = subprocess.run(
            ["git", "archive", "--format=tar", commit], cwd=root, check=True, capture_output=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            # Python 3.11 has filters from 3.11.4 on; the archive is git's own.
            tar.extractall(tree, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        for path in sorted(tree.rglob("*")):  # modes do not depend on the umask
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        for package in packages:
            for hook in ("build_sdist", "build_wheel"):
                name = _backend(tree / package, hook, target, epoch)
                built.append(target / name)
                if hook == "build_sdist":
                    settle(target / name, epoch)
    return sorted(built)


def settle(sdist: Path, epoch: int) -> None:
    """Write a source distribution again, in an order, with times and owners that depend on its content alone.

    setuptools takes the time of the build for the files that it generates and for the head of the gzip stream.
    """
    plain = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=epoch) as file:
        file.write(plain.getvalue())
    sdist.write_bytes(packed.getvalue())


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _backend(package: Path, hook: str, target: Path, epoch: int) -> str:
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", CALL, hook, str(target)],
        cwd=package,
        env=environment,
        umask=0o022,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()
    return done.stdout.split()[-1]


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Build, and print the digest of each file in the form that `sha256sum --check` reads."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", type=Path, help="folder for the files; those of the same name are replaced")
    parser.add_argument("--commit", default="HEAD", help="what is built [HEAD]")
    arguments = parser.parse_args()
    for path in build(arguments.target, arguments.commit):
        print(f"{digest(path)}  {path.name}")


if __name__ == "__main__":
    main()
