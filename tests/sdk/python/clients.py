"""Clients as an application would make them, but ones that do not retry: deliveries are counted here."""

import anthropic
import openai
from google import genai

# Seconds. The longest that any answer here may take; a hung stream fails its test, and not the run.
TIMEOUT = 30


def openai_client(gateway, *, make=openai.OpenAI, path="/v1", key=None, **options):
    """`path` is what people put behind the gateway's address as the base URL."""
    options = {"max_retries": 0, "timeout": TIMEOUT} | options
    return make(base_url=gateway.url + path, api_key=key or gateway.key, **options)


def anthropic_client(gateway, *, make=anthropic.Anthropic, path="", key=None, **options):
    """As `openai_client`; these clients write `/v1` themselves."""
    options = {"max_retries": 0, "timeout": TIMEOUT} | options
    return make(base_url=gateway.url + path, api_key=key or gateway.key, **options)


def gemini_client(gateway, *, path="", key=None, version=None):
    """As `anthropic_client`; these clients write the version themselves: `v1`, and `v1beta` those that are older."""
    options = genai.types.HttpOptions(base_url=gateway.url + path, api_version=version, timeout=TIMEOUT * 1000)
    return genai.Client(api_key=key or gateway.key, http_options=options)
