import pytest

from rootless.linux import capabilities


def test_names_and_numbers() -> None:
    assert capabilities.NUMBERS["CAP_CHOWN"] == 0
    assert capabilities.NUMBERS["CAP_SYS_ADMIN"] == 21
    assert capabilities.NUMBERS["CAP_CHECKPOINT_RESTORE"] == 40
    assert capabilities.from_mask(capabilities.to_mask(["CAP_BPF", "CAP_CHOWN"])) == ["CAP_CHOWN", "CAP_BPF"]
    assert capabilities.from_mask(1 << 60) == []
    with pytest.raises(KeyError):
        capabilities.to_mask(["CAP_X"])


def test_get_is_what_proc_shows() -> None:
    with open("/proc/thread-self/status") as file:
        shown = dict(line.split(":\t") for line in file)
    sets = capabilities.get()
    assert sets.effective == int(shown["CapEff"], 16)
    assert sets.permitted == int(shown["CapPrm"], 16)
    assert sets.inheritable == int(shown["CapInh"], 16)
    last = capabilities.last_capability()
    assert capabilities.bounding(last) == int(shown["CapBnd"], 16)
    assert capabilities.ambient(last) == int(shown["CapAmb"], 16)
