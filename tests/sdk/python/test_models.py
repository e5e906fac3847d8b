"""The lists of models as each maker's official client parses and pages them, filtered to what the key may use."""

import anthropic
import openai
import pytest
from google import genai

from clients import anthropic_client, gemini_client, openai_client

# Models that the operator's config and the built-in catalog have, and one of each that a narrow key may not use.
VIRTUAL = "house-chat"
OPENAI = "gpt-4o-mini"
CLAUDE = "claude-haiku-4-5"


@pytest.fixture(scope="module")
def narrow(served):
    """A key for Anthropic's models only."""
    return served.gateway.create_key("--name", "narrow", "--allow-provider", "anthropic")


def openai_ids(served, key=None):
    with openai_client(served.gateway, key=key) as client:
        return [model.id for model in client.models.list()]


def anthropic_ids(served, key=None, **page):
    with anthropic_client(served.gateway, key=key) as client:
        return [model.id for model in client.models.list(**page)]


def gemini_ids(served, key=None, version=None, **page):
    with gemini_client(served.gateway, key=key, version=version) as client:
        return [model.name.removeprefix("models/") for model in client.models.list(config=page)]


def test_all_three_list_the_same_models(served):
    listed = openai_ids(served)
    assert {VIRTUAL, OPENAI, CLAUDE} <= set(listed)
    assert len(listed) == len(set(listed))
    # Pages of the usual size, of another, and the largest.
    assert anthropic_ids(served, limit=1000) == listed
    assert anthropic_ids(served, limit=300) == listed
    assert gemini_ids(served, page_size=1000) == listed
    assert gemini_ids(served, page_size=170) == listed
    assert gemini_ids(served, version="v1beta", page_size=170) == listed


def test_each_lists_what_the_key_may_use(served, narrow):
    listed = openai_ids(served, narrow)
    assert CLAUDE in listed and OPENAI not in listed
    assert anthropic_ids(served, narrow, limit=1000) == listed
    assert gemini_ids(served, narrow) == listed


def test_openai_model(openai_served):
    model = openai_served.models.retrieve(OPENAI)
    assert isinstance(model, openai.types.Model)
    assert (model.id, model.object, model.owned_by) == (OPENAI, "model", "openai")
    assert isinstance(model.created, int)
    [listed] = [listed for listed in openai_served.models.list() if listed.id == OPENAI]
    assert listed == model
    with pytest.raises(openai.NotFoundError) as raised:
        openai_served.models.retrieve("no-such-model")
    assert raised.value.code == "model_not_found"


def test_anthropic_model(anthropic_served):
    model = anthropic_served.models.retrieve(CLAUDE)
    assert isinstance(model, anthropic.types.ModelInfo)
    assert (model.id, model.type) == (CLAUDE, "model")
    assert model.display_name and model.created_at.year >= 1970
    assert model.lifecycle in ("active", "deprecated")
    assert model.max_input_tokens > 0 and model.max_tokens > 0
    with pytest.raises(anthropic.NotFoundError):
        anthropic_served.models.retrieve("no-such-model")


def test_anthropic_pages_backwards(anthropic_served):
    first = anthropic_served.models.list(limit=5)
    assert first.has_more and first.first_id == first.data[0].id and first.last_id == first.data[-1].id
    second = first.get_next_page()
    back = anthropic_served.models.list(limit=5, before_id=second.first_id)
    assert [model.id for model in back.data] == [model.id for model in first.data]


def test_an_anthropic_client_reads_the_list_made_for_openai(served):
    """As a client does that does not say that it is Anthropic's."""
    with anthropic_client(served.gateway, default_headers={"anthropic-version": anthropic.Omit()}) as client:
        page = client.models.list()
        listed = {model.id: model for model in page}
    model = listed[CLAUDE]
    assert isinstance(model, anthropic.types.ModelInfo)
    assert model.display_name and model.created_at and model.type == "model"
    assert page.has_more is False


@pytest.mark.anyio
async def test_anthropic_pages_asynchronously(async_anthropic):
    seen = []
    async for model in async_anthropic.models.list(limit=50):
        seen.append(model.id)
        if len(seen) == 120:
            break
    assert len(set(seen)) == 120


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_gemini_model(served, version):
    with gemini_client(served.gateway, version=version) as client:
        model = client.models.get(model=CLAUDE)
        assert isinstance(model, genai.types.Model)
        assert model.name == f"models/{CLAUDE}" and model.display_name
        assert model.input_token_limit > 0 and model.output_token_limit > 0
        pager = client.models.list(config={"page_size": 3})
        assert pager.page_size == 3 and len(pager.page) == 3
        first = [model.name for model in pager.page]
        assert first != [model.name for model in pager.next_page()]
        with pytest.raises(genai.errors.ClientError) as raised:
            client.models.get(model="no-such-model")
        assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")


def test_gemini_at_one_provider(served):
    with gemini_client(served.gateway, path="/anthropic") as client:
        names = [model.name for model in client.models.list()]
    assert f"models/{CLAUDE}" in names and f"models/{OPENAI}" not in names
