"""JUnit XML: valid for any report, and an outcome for each verdict."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from ci_reports import ACCEPTED, BROKEN, MET, NASTY, TEXTS, UNDECIDED, WARNED, judged
from gate_evidence import STEP
from hypothesis import given

from mlopt.report.ci import junit
from mlopt.report.facts import plain

SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))
VALID = junit.render(judged(MET, BROKEN, UNDECIDED, WARNED, ACCEPTED))


def test_it_is_valid():
    SCHEMA.validate(VALID)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('errors="1"', ""),
        ('tests="5"', 'tests="five"'),
        ("<system-out>", "<skipped/><system-out>"),
        ('classname="digits" name="latency.p95_ms &lt;= 11"', 'classname="digits"'),
    ],
)
def test_the_schema_can_say_no(right: str, wrong: str):
    assert right in VALID
    assert not SCHEMA.is_valid(VALID.replace(right, wrong))


@given(name=TEXTS, message=TEXTS)
def test_any_report_is_valid_and_reads_back(name: str, message: str):
    gates = [one.model_copy(update={"metric": name, "message": message}) for one in (MET, BROKEN, UNDECIDED)]
    document = junit.render(judged(*gates, name=name))
    SCHEMA.validate(document)
    failure = ET.fromstring(document).find(".//failure")
    assert failure is not None
    assert failure.get("message") == (failure.text or "") == plain(message)


def test_markup_in_a_message_stays_text():
    document = junit.render(judged(BROKEN.model_copy(update={"message": NASTY})))
    SCHEMA.validate(document)
    assert len(ET.fromstring(document)) == 1


def test_each_verdict_has_its_outcome():
    suite = ET.fromstring(VALID)
    assert [suite.get(key) for key in ("tests", "failures", "errors")] == ["5", "1", "1"]
    assert [case[0].tag for case in suite] == ["system-out", "failure", "error", "system-out", "system-out"]
    assert str(suite[3][0].text).startswith("warning: 0.1 [-0.3, 0.62]")


def test_times_are_those_of_measuring_and_of_the_run():
    document = junit.render(judged(MET, UNDECIDED, steps=(STEP, STEP), spent={"racing": 3.5}))
    SCHEMA.validate(document)
    suite = ET.fromstring(document)
    assert suite.get("time") == "45.500"  # two steps of a second, the search, and 40 s of measuring
    assert [case.get("time") for case in suite] == ["40.000", "45.500"]


def test_a_time_that_is_not_known_is_left_out():
    document = junit.render(judged(MET, sampling=None))
    SCHEMA.validate(document)
    assert "time" not in document
