"""How many CPUs the control groups of this process grant: containers, batch systems and systemd slices set quotas.

A quota binds every group below the one that has it, so the least on the way from this process's group to the root
counts. Version 2 has one tree, whose groups have a file ``cpu.max``; version 1 has a tree for CPUs, and two files.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path, PurePosixPath

NO_QUOTA = 1 << 30
V1_FOLDERS = ("cpu", "cpu,cpuacct", "cpuacct,cpu")  # where distributions mount the tree of version 1


def cpus(root: Path = Path("/")) -> int:
    """The least quota, rounded up; NO_QUOTA without one."""
    return min((granted(files) for files in quota_files(root)), default=NO_QUOTA)


@cache
def quota_files(root: Path) -> list[tuple[Path, ...]]:
    """The files that hold quotas of this process: of its groups and of those above. Kept: groups hardly ever change."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return []
    mounted, found = root / "sys/fs/cgroup", []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            folders, names = (mounted, mounted / "unified"), ("cpu.max",)
        elif "cpu" in controllers.split(","):
            folders, names = [mounted / name for name in V1_FOLDERS], ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        else:
            continue
        path = PurePosixPath(group.lstrip("/"))  # in a container often that of the host, of which only the root is seen
        for folder in folders:
            for place in (path, *path.parents):
                files = tuple(folder / place / name for name in names)
                if ".." not in place.parts and all(file.is_file() for file in files):
                    found.append(files)
    return found


def granted(files: tuple[Path, ...]) -> int:
    """The quota in one file ("max 100000") or two (-1 where there is none), in CPUs."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return NO_QUOTA if quota == "max" or int(quota) <= 0 else math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # the group is gone
        return NO_QUOTA
