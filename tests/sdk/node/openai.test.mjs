// The official OpenAI client, through the gateway, to an OpenAI-format provider, named in each way there is.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import OpenAI from 'openai';

import { start } from './gateway.mjs';

const MODEL = 'gpt-4o-mini';

// How a request comes to `openai` and `gpt-4o-mini`. `dead` refuses connections.
const WAYS = {
  prefix: { model: `openai:${MODEL}` },
  catalog: { model: MODEL },
  virtual: { model: 'house-chat' },
  models: { model: 'dead:any', models: [`openai:${MODEL}`] },
};

const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather in a city',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' } },
      required: ['city', 'days'],
    },
  },
};

const user = (content) => [{ role: 'user', content }];
const said = (text) => `Hello! You said: ${text}`;

let stack;
let client;
before(async () => {
  stack = await start('serve');
  client = stack.openai();
});
after(() => stack?.stop());
beforeEach(() => stack.llmock.reset());

/** The one request that arrived: nothing was sent twice, and no client retried. */
async function delivered() {
  const requests = await stack.llmock.requests();
  assert.equal(requests.length, 1);
  const [request] = requests;
  assert.equal(request.provider, 'openai');
  assert.equal(request.status, 200);
  assert.equal(request.sdk_retry_count, 0);
  assert.equal(request.body.model, MODEL);
  assert.ok(!('models' in request.body));
  return request;
}

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

const joined = (chunks) =>
  chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta.content ?? '')).join('');

for (const [name, way] of Object.entries(WAYS)) {
  describe(`by ${name}`, () => {
    test('chat', async () => {
      const { data, response } = await client.chat.completions
        .create({ messages: user('plain'), ...way })
        .withResponse();
      assert.equal(data.choices[0].message.content, said('plain'));
      assert.equal(data.model, MODEL);
      assert.ok(data.usage.total_tokens > 0);
      assert.equal(response.headers.get('tollgate-model'), `openai:${MODEL}`);
      assert.ok(response.headers.get('tollgate-request-id'));
      assert.deepEqual((await delivered()).body, { messages: user('plain'), model: MODEL });
    });

    test('chat, streamed', async () => {
      const chunks = await all(
        await client.chat.completions.create({
          messages: user('one two three'),
          stream: true,
          stream_options: { include_usage: true },
          ...way,
        }),
      );
      assert.equal(joined(chunks), said('one two three'));
      assert.ok(chunks.at(-1).usage.total_tokens > 0);
      await delivered();
    });

    test('chat with tools', async () => {
      const answer = await client.chat.completions.create({
        messages: user('What is the weather in Paris?'),
        tools: [WEATHER],
        ...way,
      });
      const [call] = answer.choices[0].message.tool_calls;
      assert.equal(call.function.name, 'get_weather');
      assert.deepEqual(Object.keys(JSON.parse(call.function.arguments)).sort(), ['city', 'days']);
      assert.deepEqual((await delivered()).body.tools, [WEATHER]);
    });

    test('chat with tools, run by the helper to its end', async () => {
      const asked = [];
      const tool = structuredClone(WEATHER);
      tool.function.parse = JSON.parse;
      tool.function.function = ({ city }) => {
        asked.push(city);
        return 'rain';
      };
      const runner = client.chat.completions.runTools({
        messages: user('What is the weather in Paris?'),
        tools: [tool],
        stream: true,
        ...way,
      });
      assert.match(await runner.finalContent(), /rain/);
      assert.equal(asked.length, 1);
      assert.equal((await stack.llmock.requests()).length, 2);
    });

    test('responses, streamed', async () => {
      const events = await all(await client.responses.create({ input: 'respond', stream: true, ...way }));
      const deltas = events.filter((event) => event.type === 'response.output_text.delta');
      assert.equal(deltas.map((event) => event.delta).join(''), said('respond'));
      assert.equal(events.at(-1).type, 'response.completed');
      assert.equal((await delivered()).path, '/v1/responses');
    });
  });
}

test('responses', async () => {
  const answer = await client.responses.create({ model: MODEL, input: 'respond' });
  assert.equal(answer.output_text, said('respond'));
  await delivered();
});

test('embeddings', async () => {
  const answer = await client.embeddings.create({ model: 'house-vectors', input: ['one', 'two'] });
  assert.deepEqual(answer.data.map((entry) => entry.embedding.length), [1536, 1536]);
  const [request] = await stack.llmock.requests();
  assert.equal(request.body.model, 'text-embedding-3-small');
});

test('models', async () => {
  const ids = (await all(client.models.list())).map((model) => model.id);
  for (const id of [MODEL, 'claude-haiku-4-5', 'house-chat']) assert.ok(ids.includes(id), id);
  assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
  await assert.rejects(client.models.retrieve('gpt-4o-minimal'), OpenAI.NotFoundError);
});

test('the next provider answers', async () => {
  await stack.llmock.fail(500, { model: 'm-500' });
  const answer = await client.chat.completions.create({
    model: 'fails-500:m-500',
    models: ['spare:spare-small'],
    messages: user('anyone?'),
  });
  assert.equal(answer.choices[0].message.content, 'The spare provider answers.');
  assert.equal((await stack.llmock.requests()).length, 1);
});

test('a stream that the provider drops does not look complete', async () => {
  await stack.llmock.script({ type: 'stream_fault', kind: 'disconnect', after_chunks: 3 });
  const stream = await client.chat.completions.create({ model: MODEL, messages: user('go on'), stream: true });
  await assert.rejects(all(stream));
  assert.equal((await stack.llmock.requests()).length, 1);
});

// What is asked, the class that is thrown, and the code in it.
const REFUSALS = [
  ['an unknown model', { model: 'no-such-model' }, OpenAI.NotFoundError, 'model_not_found'],
  ['no model', { model: '' }, OpenAI.BadRequestError, 'invalid_request'],
  ['a model that does not chat', { model: 'fails-messages-alone:m-alone' }, OpenAI.BadRequestError, 'surface_not_supported'],
  ['a provider out of reach', { model: 'dead:any' }, OpenAI.InternalServerError, 'all_candidates_failed'],
];

for (const [name, asked, thrown, code] of REFUSALS) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(client.chat.completions.create({ messages: user('no'), ...asked }), (error) => {
      assert.ok(error instanceof thrown, error);
      assert.equal(error.code, code);
      assert.ok(error.headers.get('tollgate-request-id'));
      return true;
    });
    assert.deepEqual(await stack.llmock.requests(), []);
  });
}

test('refused: a wrong key', async () => {
  const other = stack.openai({ apiKey: `${stack.key.slice(0, -1)}${stack.key.endsWith('a') ? 'b' : 'a'}` });
  await assert.rejects(other.chat.completions.create({ model: MODEL, messages: user('no') }), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError, error);
    assert.equal(error.code, 'invalid_access_key');
    return true;
  });
  assert.deepEqual(await stack.llmock.requests(), []);
});
