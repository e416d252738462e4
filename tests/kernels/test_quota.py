"""Quotas of control groups, in folders as Linux shows them."""

import pytest

from fastem.kernels import quota

DOCKER = "0::/system.slice/docker-1f.scope\n"  # the host's path, of which a container sees only the root
SYSTEMD = "0::/user.slice/user-0.slice/run-1.scope\n"
OLD = "4:memory:/jobs/7\n3:cpu,cpuacct:/jobs/7\n1:name=systemd:/\n0::/\n"
CASES = {
    "nothing": ({}, None),
    "version 2, the root": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
    "version 2, no quota": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
    "a container": ({"proc/self/cgroup": DOCKER, "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
    "a slice above": (
        {
            "proc/self/cgroup": SYSTEMD,
            "sys/fs/cgroup/user.slice/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/user.slice/user-0.slice/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/user.slice/user-0.slice/run-1.scope/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/user-1.slice/cpu.max": "1000 100000\n",
        },
        1,
    ),
    "version 1": (
        {
            "proc/self/cgroup": OLD,
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "600000\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/7/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/7/cpu.cfs_period_us": "100000\n",
        },
        3,
    ),
    "version 1 without a period": ({"proc/self/cgroup": OLD, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n"}, None),
    "outside of the folder": ({"proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
}


@pytest.mark.parametrize("files, expected", CASES.values(), ids=CASES)
def test_the_least_quota_on_the_way_to_the_root(tmp_path, files, expected):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert quota.cpus(tmp_path) == (expected or quota.NO_QUOTA)


def test_a_quota_is_read_anew(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    limit = tmp_path / "sys/fs/cgroup/cpu.max"
    limit.write_text("100000 100000\n")
    assert quota.cpus(tmp_path) == 1
    limit.write_text("500000 100000\n")
    assert quota.cpus(tmp_path) == 5
    limit.unlink()
    assert quota.cpus(tmp_path) == quota.NO_QUOTA
