"""The tables of stages: what they say is true of the classes beside which they stand."""

from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

import desim
from desim.stages import (
    GUEST,
    HOST,
    QEMU,
    ROOMS,
    Landmark,
    files_of,
    known_stages,
    mark,
    marks_of,
    stages,
    stages_at,
)


def classes() -> Iterator[type]:
    """Every class of the package that has a table of its own."""
    for module in pkgutil.walk_packages(desim.__path__, "desim."):
        if module.name != "desim.__main__":
            for found in vars(import_module(module.name)).values():
                if (
                    isinstance(found, type)
                    and found.__module__ == module.name
                    and "STAGES" in vars(found)
                ):
                    yield found


def test_every_entry_names_a_method_and_its_size_a_parameter() -> None:
    for cls in classes():
        for method, entry in vars(cls)["STAGES"].items():
            assert hasattr(cls, method), f"{cls.__name__} has no method {method}"
            if entry.size is not None:
                parameters = inspect.signature(getattr(cls, method)).parameters
                parameter, _, _ = entry.size.partition(".")  # or an attribute of one
                assert parameter in parameters, f"{cls.__name__}.{method}: {entry.size}"


def test_tables_stand_in_the_rooms_that_are_searched_for_them() -> None:
    found = list(classes())
    assert len(found) > 80
    assert {cls.__module__.split(".")[1] for cls in found} <= set(ROOMS)


def test_every_stage_is_known_with_its_owner() -> None:
    known = known_stages()
    assert known["tcp_output", "slirp/tcp_output.c"].owner == QEMU
    assert known["filter_receive", "net/net.c"].owner == QEMU
    assert known["qemu_tcg_cpu_thread_fn", "cpus.c"].owner == QEMU
    assert known["__schedule", "kernel/sched/core.c"].owner == GUEST
    assert known["recv", "host kernel"].owner == HOST
    assert known["tcp_recvmsg", "net/ipv4/tcp.c"].sized is False
    assert known["skb_copy_datagram_iter", "net/core/datagram.c"].sized is True
    assert files_of("ip_output") == ["net/ipv4/ip_output.c", "slirp/ip_output.c"]
    assert files_of("no_such_function") == []


@pytest.mark.parametrize("profile", ["study-2016", "icount", "tcg", "zero"])
def test_a_profile_can_be_loaded_before_anything_else(profile: str) -> None:
    module = import_module("desim.machine.machine").load.__module__
    code = f"from {module} import load; print(load({profile!r}).name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{profile}\n"


def test_an_override_has_the_mark_of_its_own_table_or_none() -> None:
    class Base:
        STAGES = stages(QEMU, one=mark("one", file="a.c"), two=mark("two", file="a.c"))

        def one(self) -> None: ...

        def two(self) -> None: ...

    class Changed(Base):
        STAGES = stages(GUEST, one=mark("other", file="b.c"))

        def one(self) -> None: ...

        def two(self) -> None: ...

    assert [(name, entry.names, entry.owner) for name, entry in marks_of(Changed)] == [
        ("one", ("other",), GUEST)
    ]
    assert [name for name, _ in marks_of(Base)] == ["one", "two"]


def test_a_table_may_mark_what_is_inherited() -> None:
    class Base:
        STAGES = stages(QEMU, one=mark("one", file="a.c"))

        def one(self) -> None: ...

        def two(self) -> None: ...

    class Below(Base):
        STAGES = stages(GUEST, two=mark("two", file="b.c"))

    assert [(name, entry.owner) for name, entry in marks_of(Below)] == [
        ("one", QEMU),
        ("two", GUEST),
    ]
    assert [name for name, _ in marks_of(Base)] == ["one"]


def test_a_mark_without_a_name_is_refused() -> None:
    with pytest.raises(TypeError, match="at least one name"):
        mark(file="a.c")


@pytest.mark.parametrize("landmark", Landmark)
def test_each_landmark_is_somewhere_and_belongs_to_one_owner(landmark: Landmark) -> None:
    found = stages_at(landmark)
    assert found
    owners = {known_stages()[stage].owner for stage in found}
    assert len(owners) == 1 or landmark is Landmark.LOOP
