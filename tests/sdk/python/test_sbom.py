"""The list of what is built in: CycloneDX by its own schema, and complete by what cargo's own tree shows."""

import json
import os
import pathlib
import re
import subprocess
import zipfile

import jsonschema_rs
import pytest
import stack

ROOT = stack.HERE.parents[2]
TARGET = "x86_64-unknown-linux-gnu"
INSIDE = "cyclonedx/schema/_res"
SCHEMAS = [f"{name}.SNAPSHOT.schema.json" for name in ("bom-1.6", "spdx", "jsf-0.82")]


def made(*more, **environment):
    command = [ROOT / "conf/debian/sbom", f"--target={TARGET}", *more]
    return subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def text():
    return made(SOURCE_DATE_EPOCH="1700000000")


@pytest.fixture(scope="module")
def bill(text):
    return json.loads(text)


@pytest.fixture(scope="module")
def validator():
    folder = pathlib.Path(os.environ.get("TOLLGATE_LISTS", ROOT / "target" / "sdk" / "lists"))
    [wheel] = folder.glob("cyclonedx_python_lib-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        schema, spdx, jsf = (json.loads(archive.read(f"{INSIDE}/{name}")) for name in SCHEMAS)
    # They name each other by the names of these files.
    others = [(f"http://cyclonedx.org/schema/{name}", content) for name, content in zip(SCHEMAS[1:], (spdx, jsf))]
    return jsonschema_rs.validator_for(schema, registry=jsonschema_rs.Registry(others))


def built_in():
    """What cargo's tree shows of the crates that end up in the program, as package URLs; the program first."""
    command = "cargo tree --locked --edges normal,no-proc-macro --prefix none --no-dedupe --target".split()
    shown = subprocess.run([*command, TARGET], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = re.findall(r"(?m)^(\S+) v(\S+)", shown)
    return [f"pkg:cargo/{name}@{version}".replace("+", "%2B") for name, version in found]


def test_it_is_what_the_format_says(bill, validator):
    assert [error.message for error in validator.iter_errors(bill)] == []
    # The schema is looked at: it knows licences by their names.
    bill = json.loads(json.dumps(bill))
    bill["components"][0]["licenses"] = [{"license": {"id": "No-Such-Licence"}}]
    assert not validator.is_valid(bill)


def test_it_has_what_is_built_in_and_says_what_is_not(bill):
    program, *crates = built_in()
    assert bill["metadata"]["component"]["purl"] == program
    required = {component["purl"] for component in bill["components"] if component["scope"] == "required"}
    assert {purl for purl in required if purl.startswith("pkg:cargo/")} == set(crates)
    excluded = {component["name"] for component in bill["components"] if component["scope"] == "excluded"}
    assert {"cc", "serde_derive"} <= excluded
    # For tests and measurements only.
    assert not {"criterion", "tempfile"} & {component["name"] for component in bill["components"]}


def test_c_libraries_are_named_with_their_versions(bill):
    libraries = {component["name"]: component["version"] for component in bill["components"] if component["purl"][:9] != "pkg:cargo"}
    assert set(libraries) == {"SQLite", "jemalloc", "zlib-ng", "zstd"}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in libraries.values())


def test_every_part_is_reached_and_has_its_licence_and_checksum(bill):
    on = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    seen, left = set(), [bill["metadata"]["component"]["bom-ref"]]
    while left:
        if (reference := left.pop()) not in seen:
            seen.add(reference)
            left += on[reference]
    assert seen == set(on)
    for component in bill["components"]:
        assert component["bom-ref"] in seen
        assert component["licenses"]
        assert component["purl"][:9] != "pkg:cargo" or component["hashes"][0]["content"]


def test_it_is_the_same_each_time(text):
    assert made(SOURCE_DATE_EPOCH="1700000000") == text
    assert "2023-11-14T22:13:20Z" in text


def test_the_notices_are_those_of_what_is_built_in():
    notices = made("--notices")
    for purl in built_in()[1:]:
        name, version = purl.removeprefix("pkg:cargo/").replace("%2B", "+").split("@")
        assert f"{name} {version} (" in notices
    assert "serde_derive" not in notices
    # Of a library within a crate.
    assert "Jason Evans" in notices
