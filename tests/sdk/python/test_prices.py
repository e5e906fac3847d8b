"""What usages cost, reckoned a second time: from the catalog's files and `docs/credit.md`, with exact fractions.

Every priced model is asked about, in every mode and length that it has prices for, with usages drawn at random, and the
gateway's own answer (`tollgate price`) must be the same to the nano-dollar.
"""

import functools
import json
import math
import os
import random
import subprocess
from fractions import Fraction

import pytest

import stack

CATALOG = stack.HERE.parents[2] / "catalog"
MILLION = 10**6
NANO = 10**9

# Which mode of a model has the prices of a service tier; the first that it has.
MODES = {
    "standard": [],
    "flex": ["flex"],
    "priority": ["priority"],
    "fast": ["fast", "priority"],
    "ultrafast": ["ultrafast"],
    "batch": ["batch"],
}
US = "inference_geo_us"

PARTS_OF_INPUT = ["cached", "cache_write", "cache_write_1h", "cache_write_12h", "audio_input", "image_input"]
PARTS_OF_OUTPUT = ["reasoning", "audio_output", "image_output"]


class NoPrice(Exception):
    pass


def priced_models():
    for file in sorted(CATALOG.glob("*.json")):
        content = json.loads(file.read_text())
        for name, model in content.get("models", {}).items():
            if model and "price" in model:
                yield f"{content['provider']}:{name}", model


def prices_in_force(model, tier, us, length):
    """The tables in which an item is looked up, in order, and the factor on all prices."""
    tables, factor = [], Fraction(1)
    modes = model.get("modes", {})
    chosen = next((name for name in MODES[tier] if name in modes), None)
    for name in [chosen, US if us and US in modes else None]:
        if name is not None:
            tables += of_length(modes[name].get("tiers", []), length)
            tables.append(modes[name].get("price", {}))
            factor *= Fraction(modes[name].get("multiplier", "1"))
    tables += of_length(model.get("tiers", []), length)
    tables.append(model["price"])
    return tables, factor


def of_length(tiers, length):
    reached = [tier for tier in tiers if length > tier["above"]]
    return [max(reached, key=lambda tier: tier["above"])["price"]] if reached else []


class Prices:
    """What each sort of token costs, by the table in `docs/credit.md`."""

    def __init__(self, tables):
        self.tables = tables

    def get(self, *items):
        """The price of the first of these items that has one."""
        for item in items:
            for table in self.tables:
                if item in table:
                    return Fraction(table[item])
        return None

    def must(self, *items):
        price = self.get(*items)
        if price is None:
            raise NoPrice(items)
        return price

    def fresh(self, sort):
        return self.must("input") if sort == "text" else self.must(f"{sort}_input", "input")

    def cached(self, sort):
        fresh = self.fresh(sort)
        own = None if sort == "text" else self.get(f"cached_{sort}_input")
        if own is not None:
            return own
        text = self.get("input")
        if sort != "text" and (text is None or fresh > text):
            return fresh
        cached = self.get("cached_input")
        return fresh if cached is None else cached

    def written(self, sort, life):
        longer_to_shorter = ["cache_write_12h", "cache_write_1h", "cache_write"]
        price = self.get(*longer_to_shorter[longer_to_shorter.index(life) :])
        return self.fresh(sort) if price is None else max(price, self.fresh(sort))


def cost(model, usage):
    """In dollars, not rounded."""
    tables, factor = prices_in_force(model, usage["tier"], usage["us"], usage["input"])
    prices = Prices(tables)
    total = Fraction(0)

    # Each input token is one of these sorts, and in one of these states; text goes first.
    audio = min(usage["audio_input"], usage["input"])
    image = min(usage["image_input"], usage["input"] - audio)
    left = {"text": usage["input"] - audio - image, "image": image, "audio": audio}
    states = [("cached", usage["cached"])]
    states += [(life, usage[life]) for life in ["cache_write_12h", "cache_write_1h", "cache_write"]]
    for state, count in states:
        for sort in left:
            taken = min(count, left[sort])
            count, left[sort] = count - taken, left[sort] - taken
            if taken:
                total += taken * (prices.cached(sort) if state == "cached" else prices.written(sort, state))
    for sort, count in left.items():
        if count:
            total += count * prices.fresh(sort)

    audio = min(usage["audio_output"], usage["output"])
    image = min(usage["image_output"], usage["output"] - audio)
    thoughts = min(usage["reasoning"], usage["output"] - audio - image)
    for count, items in [
        (usage["output"] - audio - image - thoughts, ["output"]),
        (thoughts, ["reasoning", "output"]),
        (audio, ["audio_output"]),
        (image, ["image_output"]),
    ]:
        if count:
            total += count * prices.must(*items)

    total /= MILLION
    total += prices.get("per_request") or 0
    total += usage["searches"] * (prices.get("per_web_search") or 0)
    return total * factor


def nanos(dollars):
    return math.ceil(dollars * NANO)


def usages(model, dice):
    """Usages that meet every price of the model: each mode, both sides of each length, and some more at random."""
    modes = model.get("modes", {})
    tiers = [tier for tier, names in MODES.items() if tier == "standard" or any(name in modes for name in names)]
    lengths = {tier["above"] for tier in model.get("tiers", [])}
    lengths |= {tier["above"] for mode in modes.values() for tier in mode.get("tiers", [])}
    lengths = [edge for above in sorted(lengths) for edge in (above, above + 1)]
    for tier in tiers:
        for us in [False, True] if US in modes else [False]:
            for length in [*lengths, dice.randint(0, 50), *(dice.randint(0, 3_000_000) for _ in range(3))]:
                yield usage(dice, length, tier, us)


def usage(dice, length, tier, us):
    drawn = {"input": length, "output": dice.choice([0, 1, dice.randint(0, 200), dice.randint(0, 400_000)])}
    for whole, parts in [("input", PARTS_OF_INPUT), ("output", PARTS_OF_OUTPUT)]:
        for part in parts:
            # Most are absent; some are more than the whole.
            drawn[part] = dice.choice([0, 0, 0, dice.randint(0, drawn[whole]), drawn[whole] + 1])
    drawn["searches"] = dice.choice([0, 0, 1, 7])
    return {**drawn, "tier": tier, "us": us}


@pytest.fixture(name="ask")
def fixture_ask(tmp_path):
    """Asks a gateway that has the catalog that ships and no other."""
    config = tmp_path / "tollgate.toml"
    config.write_text("")
    return functools.partial(ask_with, config)


def ask_with(config, lines, *flags):
    """What the gateway says to usages, one a line."""
    binary = os.environ.get("TOLLGATE_BIN", "target/debug/tollgate")
    run = subprocess.run(
        [binary, "price", "--json", "--config", config, *flags],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def drawn():
    dice = random.Random(20261123)
    for name, model in priced_models():
        for used in usages(model, dice):
            try:
                expected = cost(model, used)
            except NoPrice:
                # What it has no price for is left out, so that the rest is compared.
                used = {**used, **dict.fromkeys([*PARTS_OF_OUTPUT, "output"], 0)}
                try:
                    expected = cost(model, used)
                except NoPrice:
                    continue
            yield {"model": name, **used}, expected


def test_every_priced_model_costs_what_its_file_says(ask):
    asked, expected = zip(*drawn(), strict=True)
    told = ask(asked)
    differ = [
        (line, answer, nanos(dollars))
        for line, answer, dollars in zip(asked, told, expected, strict=True)
        if nanos(Fraction(answer["total"])) != nanos(dollars) or answer["model"] != line["model"]
    ]
    assert not differ, differ[:5]
    assert len(asked) > 6_000
    # Nearly every priced model is there: the others have prices only for what answers do not count.
    named = {line["model"] for line in asked}
    left_out = {name for name, _ in priced_models()} - named
    items = {item for name, model in priced_models() if name in left_out for item in model["price"]}
    assert "input" not in items, items
    # And they are no small change: whole dollars, and fractions that had to be rounded.
    assert sum(expected) > 1_000 and any(dollars * NANO % 1 for dollars in expected)


def test_the_fee_is_rounded_with_the_rest(ask):
    asked, expected = zip(*drawn(), strict=True)
    per_million, per_request = "0.123456789012", "0.000000000001"
    told = ask(asked, "--fee-per-million-tokens", per_million, "--fee-per-request", per_request)
    for line, answer, dollars in zip(asked, told, expected, strict=True):
        tokens = line["input"] + line["output"]
        fee = Fraction(per_million) * tokens / MILLION + Fraction(per_request)
        assert nanos(Fraction(answer["total"])) == nanos(dollars + fee), line
        assert nanos(Fraction(answer["model_cost"])) == nanos(dollars), line
        assert Fraction(answer["model_cost"]) + Fraction(answer["fee"]) == Fraction(answer["total"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"model": "openai:gpt-4o", "input": -1}, "line 1: no usage"),
        ({"model": "openai:gpt-4o", "input": 1.5}, "line 1: no usage"),
        ({"model": "openai:gpt-4o", "tokens": 1}, "unknown field"),
        ({"model": "no-such-model", "input": 1}, "is no model of the catalog"),
        ({"input": 1}, "no model"),
        ({"model": "deepinfra:MiniMaxAI/MiniMax-M2.5", "input": 1}, "no price"),
        ({"model": "openai:text-embedding-3-small", "output": 1}, "`output` has no price"),
        ({"model": "openai:gpt-4o", "input": 2**64 - 1}, "too large"),
    ],
)
def test_what_has_no_price_says_why(ask, line, words):
    with pytest.raises(AssertionError, match=words):
        ask([line])
