"""The page of experiments: it names every shipped scenario, and its tables are made of runs."""

from __future__ import annotations

import pytest
import studies
from documents import read
from runs import SHIPPED


def test_the_page_has_the_tables_of_all_studies() -> None:
    assert studies.tables(read(studies.PAGE)).keys() == studies.STUDIES.keys()


@pytest.mark.parametrize("name", SHIPPED)
def test_the_page_names_every_shipped_scenario(name: str) -> None:
    assert f"`{name}`" in read(studies.PAGE)


@pytest.mark.slow
@pytest.mark.parametrize("name", studies.STUDIES)
def test_a_table_is_what_its_runs_come_to(name: str) -> None:
    shown = studies.tables(read(studies.PAGE))[name]
    assert shown == studies.table(name), "stale: nox -s pages makes it anew"
