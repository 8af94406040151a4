"""Files of formats that are not read, and the way round for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

MICROSCOPE = (
    "export {it} as OME-TIFF, from the microscope's software, Fiji (Bio-Formats) or by `bfconvert IN OUT.ome.tif`: "
    "without compression that loses, scaling or projection"
)
SCRIPT = "from pathlib import Path; import numpy as np; files = sorted(Path('FOLDER').rglob('*{end}'))"
JOIN = "join them in one array: python -c \"{script}; np.save('rows.npy', np.stack([{load} for f in files]))\""
WAYS = {
    "a microscope's own format": (
        (".czi", ".nd2", ".lif", ".xlif", ".lof", ".lsm", ".oib", ".oif", ".oir", ".vsi", ".zvi", ".sld", ".sldy"),
        MICROSCOPE,
    ),
    "a format of microscopy": ((".ims", ".dv", ".r3d", ".stk", ".mvd2", ".flex", ".ics", ".ids"), MICROSCOPE),
    "a format of an electron microscope": (
        (".dm3", ".dm4", ".ser", ".emi", ".tvips", ".blo"),
        "save {it} as 32-bit TIFF or MRC in the microscope's software, or by rosettasciio: np.save('rows.npy', "
        "rsciio.digitalmicrograph.file_reader(FILE)[0]['data'])",
    ),
    "frames of an electron counter": ((".eer",), "sum frames to an .mrc stack, as motion correction does"),
    "a camera's raw format": (
        (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"),
        "take the sensor's values before demosaicing, one colour of its pattern at a time: np.save('rows.npy', "
        "rawpy.imread(FILE).raw_image[None, ::2, ::2])",
    ),
    "a format of a camera's software": ((".sif", ".spe"), "export {it} as 16-bit TIFF"),
    "a format of X-ray detectors": (
        (".cbf", ".edf", ".mar3450", ".mccd"),
        "read {it} by fabio, and save the rows: np.save('rows.npy', np.stack([fabio.open(f).data for f in files]))",
    ),
    "a table": ((".csv", ".tsv", ".txt", ".asc", ".dat"), ""),
    "an archive of Matlab": (
        (".mat",),
        "save the rows: np.save('rows.npy', scipy.io.loadmat(FILE)['NAME']); files of version 7.3 are HDF5, and read",
    ),
    "a medical volume": (
        (".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".img", ".mnc"),
        "save {it} as NIfTI (.nii.gz), by SimpleITK or nibabel",
    ),
    "a slide scanner's format": (
        (".svs", ".ndpi", ".scn", ".mrxs", ".bif"),
        "export regions as TIFF; note that slides are compressed by JPEG, which changes the noise",
    ),
    "a compressed film": (
        (".mp4", ".avi", ".mov", ".mkv", ".gif", ".heic"),
        "record frames as TIFF: such compression changes the noise, and nothing can undo it",
    ),
    "NetCDF 3": ((".nc", ".cdf"), "turn {it} into NetCDF 4, which is HDF5, and read: nccopy -k nc4 IN OUT.nc"),
    "a pickle": ((".pkl", ".pickle", ".pt", ".pth"), "save the rows as an array: np.save('rows.npy', rows)"),
    "bare numbers": (
        (".raw", ".bin"),
        "say their type and shape: np.save('rows.npy', np.fromfile(FILE, 'uint16').reshape(-1, HEIGHT, WIDTH))",
    ),
}
"""What a format is -> how its files are called, and what to do with "it" or "them"."""
LOADED = {
    ".csv": "np.loadtxt(f, delimiter=',')",
    ".tsv": "np.loadtxt(f, delimiter='\\t')",
}
"""How a row is read from one file; text of other names by blanks."""


def way_round(files: Iterable[Path | str]) -> str:
    """What the most common unread format of these files is, and what to do, to follow a message on a line of its own;
    empty where it is none that is known."""
    ends = Counter(end for file in files if (end := Path(file).suffix.lower()) in _KNOWN)
    if not ends:
        return ""
    ((end, count),) = ends.most_common(1)
    what, way = _KNOWN[end]
    if not way:
        load = LOADED.get(end, "np.loadtxt(f)")
        way = JOIN.format(script=SCRIPT.format(end=end), load=load)
    it = "it" if count == 1 else "them"
    return f"\n{end} is {what}: {way.format(it=it)}"


_KNOWN = {end: (what, way) for what, (ends, way) in WAYS.items() for end in ends}
