"""Import Ultralytics as the functions do, for `pytest.importorskip`.

If a test imported it directly, Ultralytics would run pip when any later test opens a damaged
picture.
"""

from __future__ import annotations

from aa_functions.backends.ultralytics_import import import_ultralytics

import_ultralytics()
