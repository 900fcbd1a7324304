"""``-icount``: how long an instruction of the guest lasts (softmmu/icount.c, icount_configure).

``shift=N`` makes it ``2 ** N`` ns, for costs that are in instructions. Values are checked as
QEMU checks them, and then named as without effect here are ``shift=auto``, which keeps up
with real time; ``sleep=`` and ``align=``, which say how virtual time waits for it; and
``rr=`` with its files, because every run repeats as it is.

Not modelled: with ``sleep=off`` and an idle guest QEMU's clock jumps from timer to timer,
and a card's interrupt that was put off may come one interval late.
"""

from __future__ import annotations

from collections.abc import Sequence

from desim.scenario.addresses import parse_number
from desim.scenario.qemu_user import Complain, read_switch, refuse_unknown_keys
from desim.scenario.qemu_words import Option, word_set

MAX_SHIFT = 10
AUTO = "auto"
KEYS = word_set("shift align sleep rr rrfile rrsnapshot")


def read_icount(options: Sequence[Option], ignored: list[str], mistakes: list[str]) -> int | None:
    """The shift, or None if it is not said; QEMU reads several ``-icount`` as one."""
    parts = [part for option in options for part in option.parts]
    merged = Option("-icount", ",".join(option.value for option in options), parts)

    def complain(text: str) -> None:
        mistakes.append(f"{merged}: {text}")

    refuse_unknown_keys(merged, KEYS, complain)
    ignored += [f"-icount {key}={value}" for key, value in parts if key != "shift"]
    align = read_switch(merged, "align", complain)
    sleep = read_switch(merged, "sleep", complain)
    if align and sleep is False:
        complain("align=on and sleep=off are incompatible")
    return _shift(merged, complain)


def _shift(option: Option, complain: Complain) -> int | None:
    text = option.last("shift")
    if text is None:
        if option.last("align") is not None:
            complain("Please specify shift option when using align")
        return None
    if text == AUTO:
        complain(f"shift={AUTO} follows real time, which is not modelled; 0 to {MAX_SHIFT} are")
        return None
    shift = parse_number(text)
    if shift is None or shift > MAX_SHIFT:
        complain(f"icount: Invalid shift value; shift is 0 to {MAX_SHIFT}")
        return None
    return shift
