// What an application sees when a stream breaks off after it began, as in ../python/test_broken.py: an error that its
// client throws, never a good end.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

import { start } from './gateway.mjs';

const WORDS = 'One two three';
const messages = [{ role: 'user', content: 'anyone?' }];

let stack;
before(async () => {
  stack = await start('serve');
});
after(() => stack?.stop());

// Each tells the text that it reads to `say`.
const OPENAI = {
  async chat(client, model, say) {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) say(chunk.choices[0].delta.content ?? '');
  },
  async 'chat, by the helper'(client, model, say) {
    const stream = client.chat.completions.stream({ model, messages });
    stream.on('content', say);
    await stream.finalContent();
  },
  async completions(client, model, say) {
    const stream = await client.completions.create({ model, prompt: 'anyone?', stream: true });
    for await (const chunk of stream) say(chunk.choices[0].text);
  },
  async responses(client, model, say) {
    const stream = await client.responses.create({ model, input: 'anyone?', stream: true });
    for await (const event of stream) if (event.type === 'response.output_text.delta') say(event.delta);
  },
  async 'responses, by the helper'(client, model, say) {
    const stream = client.responses.stream({ model, input: 'anyone?' });
    stream.on('response.output_text.delta', (event) => say(event.delta));
    await stream.finalResponse();
  },
};

const ANTHROPIC = {
  async messages(client, model, say) {
    const stream = await client.messages.create({ model, max_tokens: 64, messages, stream: true });
    for await (const event of stream) if (event.type === 'content_block_delta') say(event.delta.text);
  },
  async 'messages, by the helper'(client, model, say) {
    const stream = client.messages.stream({ model, max_tokens: 64, messages });
    stream.on('text', say);
    await stream.finalMessage();
  },
};

/** The text until something is thrown, and that. */
async function read(asked, client, model) {
  let text = '';
  const error = await asked(client, model, (piece) => (text += piece)).then(
    () => assert.fail('taken for a good end'),
    (error) => error,
  );
  assert.equal(text, WORDS);
  return error;
}

describe('after whole events', () => {
  for (const [name, asked] of Object.entries(OPENAI)) {
    test(name, async () => {
      const error = await read(asked, stack.openai(), 'breaking:m-between');
      assert.ok(error instanceof OpenAI.APIError, error);
      assert.equal(error.code, 'all_candidates_failed');
    });
  }
  for (const [name, asked] of Object.entries(ANTHROPIC)) {
    test(name, async () => {
      const error = await read(asked, stack.anthropic(), 'breaking:m-between');
      assert.ok(error instanceof Anthropic.APIError, error);
      assert.equal(error.error.error.code, 'all_candidates_failed');
    });
  }
});

describe('in the middle of an event', () => {
  for (const [name, asked] of Object.entries(OPENAI)) {
    test(name, () => read(asked, stack.openai(), 'breaking:m-within'));
  }
  for (const [name, asked] of Object.entries(ANTHROPIC)) {
    test(name, () => read(asked, stack.anthropic(), 'breaking:m-within'));
  }
});
