// OpenAI's client for Azure, through the gateway: to a fake of Azure's paths, and to another provider.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import OpenAI from 'openai';

import { start } from './gateway.mjs';

const VERSION = '2025-01-01-preview';
const MODEL = 'gpt-4o-mini';

const user = (content) => [{ role: 'user', content }];

let stack;
let client;
before(async () => {
  stack = await start('serve');
  client = stack.azure({ apiVersion: VERSION });
});
after(() => stack?.stop());
beforeEach(() => stack.llmock.reset());

for (const model of ['dep-chat', 'azure:dep-chat', 'house-deployment']) {
  test(`chat with ${model}`, async () => {
    const { data, response } = await client.chat.completions.create({ model, messages: user('plain') }).withResponse();
    assert.equal(response.headers.get('tollgate-model'), 'azure:dep-chat');
    assert.equal(data.choices[0].message.content, `dep-chat at ${VERSION}: plain`);
  });

  test(`chat with ${model}, streamed`, async () => {
    const stream = await client.chat.completions.create({ model, messages: user('bits'), stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    assert.equal(text, `dep-chatat${VERSION}:bits`);
  });
}

test('embeddings', async () => {
  const answer = await client.embeddings.create({ model: 'dep-vectors', input: ['a', 'b'], encoding_format: 'float' });
  assert.deepEqual(answer.data.map((entry) => entry.embedding), [[0.5, 0.25], [0.5, 0.25]]);
});

for (const model of [MODEL, `openai:${MODEL}`]) {
  test(`chat with ${model} at another provider`, async () => {
    const answer = await client.chat.completions.create({ model, messages: user('elsewhere') });
    assert.equal(answer.choices[0].message.content, 'Hello! You said: elsewhere');
    const [arrived] = await stack.llmock.requests();
    assert.equal(arrived.path, '/v1/chat/completions');
    assert.equal(arrived.body.model, MODEL);
  });
}

test('a model that is none', async () => {
  const asked = client.chat.completions.create({ model: 'no-such-model', messages: user('hi') });
  await assert.rejects(asked, (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, 'model_not_found');
    assert.equal(error.requestID, error.headers.get('tollgate-request-id'));
    return true;
  });
});

test('a key that is none', async () => {
  const wrong = stack.azure({ apiVersion: VERSION, apiKey: 'azure-of-somebody' });
  const asked = wrong.chat.completions.create({ model: 'dep-chat', messages: user('hi') });
  await assert.rejects(asked, OpenAI.AuthenticationError);
});
