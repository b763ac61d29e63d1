"""Makes resize.json: what PIL's antialiased bilinear filter makes of a pattern.

    pip install pillow==13.0.0 && python3 resize.py > resize.json

The Rust test draws the same pattern: value = (x * 37 + y * 101 + c * 59 + x * y * (c + 3)) % 256.
"""
import json
from PIL import Image, __version__

CASES = [  # stored height, width, channels; crop_fraction; keep_aspect; height, width after
    (40, 53, 3, None, False, 17, 12),
    (40, 53, 1, None, False, 28, 28),
    (64, 48, 3, 0.875, False, 24, 24),
    (64, 48, 3, 0.875, True, 24, 20),
    (20, 16, 3, None, False, 33, 47),
    (224, 256, 1, 0.875, True, 32, 32),
]


def pattern(h, w, c):
    return bytes((x * 37 + y * 101 + k * 59 + x * y * (k + 3)) % 256 for y in range(h) for x in range(w) for k in range(c))


cases = []
for h, w, c, fraction, square, to_h, to_w in CASES:
    image = Image.frombytes("RGB" if c == 3 else "L", (w, h), pattern(h, w, c))
    if square:
        side = min(w, h)
        left, top = (w - side) // 2, (h - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if fraction is not None:
        cw, ch = round(image.width * fraction), round(image.height * fraction)
        left, top = (image.width - cw) // 2, (image.height - ch) // 2
        image = image.crop((left, top, left + cw, top + ch))
    image = image.resize((to_w, to_h), Image.BILINEAR)
    cases.append({"stored": [h, w, c], "crop_fraction": fraction, "keep_aspect": square, "size": [to_h, to_w],
                  "pixels": list(image.tobytes())})
print(json.dumps({"made_by": f"Pillow {__version__}", "cases": cases}, separators=(",", ":")))
