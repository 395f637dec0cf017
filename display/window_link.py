"""What the machine and its window's process say to each other, over a socket pair.

The machine sends boxes (`BOX`: left, top, right, bottom; then the pixels, three bytes each, red first), and `SHOW`
after the last one of a picture. The process answers with lines of ASCII: `size WIDTH HEIGHT` when the window is open,
`shown` after every `SHOW`, `tap X Y`, and `failed SENTENCE` as its last words. Places are pixels of the window.
"""

from __future__ import annotations

import struct

BOX = struct.Struct("=4I")
SHOW = BOX.pack(0, 0, 0, 0)
BYTES_PER_PIXEL = 3
