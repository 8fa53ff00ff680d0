"""A folder taken along into another mount namespace, read-only: open_tree(2), mount_setattr(2), move_mount(2)."""

from __future__ import annotations

import ctypes
import os
import struct

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # on x86_64 and aarch64 alike
_OPEN_TREE_CLONE, _AT_FDCWD, _AT_EMPTY_PATH, _MOVE_MOUNT_F_EMPTY_PATH = 1, -100, 0x1000, 4
_READ_ONLY, _NO_SETUID, _NO_DEVICES, _NO_EXECUTION = 1, 2, 4, 8

_libc = ctypes.CDLL(None, use_errno=True)


def pick_up(folder: str) -> int:
    """A descriptor for a read-only view of the folder that belongs to no namespace yet.

    Raises:
        OSError: the kernel is older than 5.12, or refused.
    """
    view = _call(_OPEN_TREE, _AT_FDCWD, folder.encode(), _OPEN_TREE_CLONE | os.O_CLOEXEC)
    wanted = ctypes.create_string_buffer(
        struct.pack("QQQQ", _READ_ONLY | _NO_SETUID | _NO_DEVICES | _NO_EXECUTION, 0, 0, 0), 32
    )
    try:
        _call(_MOUNT_SETATTR, view, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), ctypes.c_size_t(32))
    except OSError:
        os.close(view)
        raise
    return view


def put_down(view: int, target: str) -> None:
    """Mount it on a folder of the present namespace, and close the descriptor.

    Raises:
        OSError: the kernel refused.
    """
    try:
        _call(_MOVE_MOUNT, view, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(view)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed))
    return result
