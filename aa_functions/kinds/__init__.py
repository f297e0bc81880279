"""What the kinds of YOLO models detect, one module a kind.

A kind describes its labels, reads the raw output of the network, and makes CVAT's annotations from
it. All of it is numpy: no kind needs torch.

| kind of the checkpoint | module | annotations |
|---|---|---|
| `detect` | `boxes` | rectangles |
| `obb` | `rotated_boxes` | rotated rectangles |
| `segment` | `segments` | masks, or polygons if the context asks for them |
| `pose` | `skeletons` | skeletons |
| `classify` | `tags` | tags |
"""
