"""The eleventh kit: parts by somebody who had read no check and no other kit, only the contracts and their pages."""
