// `tollgate dev`, as on the first day: no config, no provider, no network; its echo answers on every surface.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { start } from './gateway.mjs';

const MODEL = 'echo:anything';
const TEXT = 'say this, please';
const ASKED = [{ role: 'user', content: TEXT }];

let stack;
let openai;
let anthropic;
before(async () => {
  stack = await start('dev');
  openai = stack.openai();
  anthropic = stack.anthropic();
});
after(() => stack?.stop());

test('chat', async () => {
  const answer = await openai.chat.completions.create({ model: MODEL, messages: ASKED });
  assert.equal(answer.choices[0].message.content, TEXT);
  assert.ok(answer.usage.completion_tokens > 0);
});

test('chat, streamed', async () => {
  const runner = openai.chat.completions.stream({ model: MODEL, messages: ASKED });
  assert.equal(await runner.finalContent(), TEXT);
});

test('completions, streamed and not', async () => {
  const answer = await openai.completions.create({ model: MODEL, prompt: TEXT });
  assert.equal(answer.choices[0].text, TEXT);
  let text = '';
  for await (const chunk of await openai.completions.create({ model: MODEL, prompt: TEXT, stream: true })) {
    text += chunk.choices[0]?.text ?? '';
  }
  assert.equal(text, TEXT);
});

test('responses, streamed and not', async () => {
  assert.equal((await openai.responses.create({ model: MODEL, input: TEXT })).output_text, TEXT);
  const final = await openai.responses.stream({ model: MODEL, input: TEXT }).finalResponse();
  assert.equal(final.output_text, TEXT);
});

test('embeddings', async () => {
  const answer = await openai.embeddings.create({ model: MODEL, input: [TEXT, 'another'] });
  const [first, other] = answer.data.map((entry) => entry.embedding);
  assert.ok(first.length > 0);
  assert.notDeepEqual(first, other);
});

test('messages, streamed and not', async () => {
  const asked = { model: MODEL, max_tokens: 100, messages: ASKED };
  assert.equal((await anthropic.messages.create(asked)).content[0].text, TEXT);
  assert.equal((await anthropic.messages.stream(asked).finalMessage()).content[0].text, TEXT);
});

test('count_tokens', async () => {
  const counted = await anthropic.messages.countTokens({ model: MODEL, messages: ASKED });
  assert.ok(counted.input_tokens > 0);
});

test('models in both shapes', async () => {
  assert.equal((await openai.models.retrieve('echo')).object, 'model');
  assert.equal((await anthropic.models.retrieve('echo')).type, 'model');
});
