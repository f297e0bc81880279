"""Parse Python sources while other threads may do the same."""

from __future__ import annotations

import ast
import threading

_lock = threading.Lock()
_ATTEMPTS = 20


def parse(text: str) -> ast.Module:
    """Parse a source. Raises SyntaxError.

    In Python 3.11 all threads share one counter of the depth of the tree. If another thread parses
    meanwhile, `ast.parse` can end in a SystemError ("recursion depth mismatch") although the source
    is right. The lock keeps our own threads apart. Those of other libraries need another attempt.

    Example:
        >>> ast.unparse(parse("import  numpy"))
        'import numpy'
    """
    with _lock:
        for _ in range(_ATTEMPTS - 1):
            try:
                return ast.parse(text)
            except SystemError:
                continue
        return ast.parse(text)
