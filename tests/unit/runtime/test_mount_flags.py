import pytest

from rootless.linux import mounts
from rootless.runtime.mount_flags import KNOWN, Change, parse_options

# config.md, "Linux mount options"
OF_THE_SPECIFICATION = (
    "async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime nodev nodiratime noexec "
    "noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime relatime "
    "remount rexec ridmap rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate "
    "rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave strictatime suid "
    "symfollow sync tmpcopyup unbindable"
)


def test_every_option_of_the_specification_is_known() -> None:
    assert sorted(KNOWN) == sorted(OF_THE_SPECIFICATION.split())


def test_the_later_of_two_options_holds() -> None:
    options = parse_options(["ro", "nosuid", "rw", "noexec", "exec", "nodev"])
    assert options.flags == mounts.MS_NOSUID | mounts.MS_NODEV
    assert options.own == Change(
        mounts.MOUNT_ATTR_NOSUID | mounts.MOUNT_ATTR_NODEV, mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOEXEC
    )


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        (["noatime"], mounts.MOUNT_ATTR_NOATIME),
        (["noatime", "strictatime"], mounts.MOUNT_ATTR_STRICTATIME),
        (["strictatime", "relatime"], mounts.MOUNT_ATTR_RELATIME),
        (["noatime", "atime"], 0),
    ],
)
def test_access_times_are_one_field(options: list[str], setting: int) -> None:
    """The kernel wants the whole field cleared whenever it is set, and refuses a part of it (mount_setattr(2))."""
    assert parse_options(options).own == Change(setting, mounts.MOUNT_ATTR__ATIME)
    assert parse_options([f"r{option}" for option in options]).recursive == Change(setting, mounts.MOUNT_ATTR__ATIME)


def test_propagations_keep_their_order() -> None:
    assert parse_options(["rslave", "shared"]).propagations == ((mounts.MS_SLAVE, True), (mounts.MS_SHARED, False))


def test_what_is_no_flag_is_data() -> None:
    options = parse_options(["size=64k", "tmpcopyup", "mode=755", "ridmap"])
    assert (options.data, options.copy_up, options.id_map, options.flags) == ("size=64k,mode=755", True, "ridmap", 0)
