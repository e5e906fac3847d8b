"""A real price list becomes a catalog: the one in LiteLLM's package, which is downloaded and not installed."""

import decimal
import json
import os
import pathlib
import zipfile

import pytest

import stack

LIST = "litellm/model_prices_and_context_window_backup.json"


def downloaded():
    """The list in the wheel that `tests/run` has fetched."""
    folder = pathlib.Path(os.environ.get("TOLLGATE_LISTS", stack.HERE.parents[2] / "target" / "sdk" / "lists"))
    [wheel] = folder.glob("litellm-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(LIST).decode()


@pytest.fixture(scope="module")
def prices():
    return downloaded()


@pytest.fixture(scope="module")
def imported(prices, tmp_path_factory):
    """A folder with a config, the list, and the catalog that came of it; what was said on the way."""
    home = tmp_path_factory.mktemp("import")
    (home / "list.json").write_text(prices)
    (home / "catalog").mkdir()
    (home / "tollgate.toml").write_text('[catalog]\npaths = ["catalog"]\n')
    arguments = ["--from", "litellm", home / "list.json", "--out", home / "catalog"]
    told = stack.run(stack.gateway_binary(), "catalog", "import", "--config", home / "tollgate.toml", *arguments)
    return home, told


def models_of(home, provider):
    return json.loads((home / "catalog" / f"litellm-{provider}.json").read_text())["models"]


def test_the_catalog_is_good(imported):
    home, told = imported
    files = sorted(path.name for path in (home / "catalog").iterdir())
    assert [pathlib.Path(line).name for line in told.splitlines()] == files
    assert {f"litellm-{provider}.json" for provider in ("openai", "anthropic", "google", "groq", "mistral")} <= set(files)
    checked = stack.run(stack.gateway_binary(), "check", "--config", home / "tollgate.toml")
    assert "is good" in checked


def test_prices_are_exact(imported, prices):
    """Every input and output price, against the list read with decimals of any length."""
    home, _ = imported
    listed = json.loads(prices, parse_float=decimal.Decimal)
    compared = 0
    for provider, prefix in (("openai", ""), ("anthropic", ""), ("google", "gemini/"), ("xai", "xai/")):
        for name, model in models_of(home, provider).items():
            entry = listed.get(prefix + name)
            if entry is None or "price" not in model:
                continue
            for ours, theirs in (("input", "input_cost_per_token"), ("output", "output_cost_per_token")):
                if ours in model["price"] and theirs in entry:
                    assert decimal.Decimal(model["price"][ours]) == entry[theirs] * 1_000_000, (provider, name, ours)
                    compared += 1
    assert compared > 300


def test_the_import_can_be_browsed_and_compared(imported):
    home, _ = imported
    config = home / "tollgate.toml"
    rows = json.loads(stack.run(stack.gateway_binary(), "models", "--config", config, "--provider", "mistral", "--json"))
    assert len(rows) > 20
    changes = stack.run_to(3, stack.gateway_binary(), "catalog", "diff", "--config", config, "builtin", home / "catalog", "--json")
    kinds = {change["kind"] for change in json.loads(changes)["changes"]}
    assert {"model_new", "price_known"} <= kinds
