// The official Anthropic client, through the gateway, to an Anthropic-format provider, named in each way there is.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import { start } from './gateway.mjs';

const MODEL = 'claude-haiku-4-5';

// How a request comes to `anthropic` and `claude-haiku-4-5`. `dead` refuses connections.
const WAYS = {
  prefix: { model: `anthropic:${MODEL}` },
  catalog: { model: MODEL },
  virtual: { model: 'house-claude' },
  models: { model: 'dead:any', models: [`anthropic:${MODEL}`] },
};

const WEATHER = {
  name: 'get_weather',
  description: 'The weather in a city',
  input_schema: {
    type: 'object',
    properties: { city: { type: 'string' }, days: { type: 'integer' } },
    required: ['city', 'days'],
  },
};

const asking = (content, more) => ({ max_tokens: 512, messages: [{ role: 'user', content }], ...more });
const said = (text) => `Hello! You said: ${text}`;

let stack;
let client;
before(async () => {
  stack = await start('serve');
  client = stack.anthropic();
});
after(() => stack?.stop());
beforeEach(() => stack.llmock.reset());

/** The one request that arrived: nothing was sent twice, and no client retried. */
async function delivered() {
  const requests = await stack.llmock.requests();
  assert.equal(requests.length, 1);
  const [request] = requests;
  assert.equal(request.path, '/anthropic/v1/messages');
  assert.equal(request.status, 200);
  assert.equal(request.body.model, MODEL);
  assert.ok(!('models' in request.body));
  return request;
}

for (const [name, way] of Object.entries(WAYS)) {
  describe(`by ${name}`, () => {
    test('message', async () => {
      const { data, response } = await client.messages.create(asking('plain', way)).withResponse();
      assert.deepEqual(data.content.map((block) => block.text), [said('plain')]);
      assert.equal(data.model, MODEL);
      assert.ok(data.usage.output_tokens > 0);
      assert.equal(response.headers.get('tollgate-model'), `anthropic:${MODEL}`);
      assert.ok(response.headers.get('tollgate-request-id'));
      assert.deepEqual((await delivered()).body, asking('plain', { model: MODEL }));
    });

    test('message, streamed', async () => {
      const kinds = [];
      let text = '';
      for await (const event of await client.messages.create(asking('one two three', { stream: true, ...way }))) {
        kinds.push(event.type);
        text += event.delta?.text ?? '';
      }
      assert.equal(text, said('one two three'));
      assert.deepEqual([kinds[0], kinds.at(-1)], ['message_start', 'message_stop']);
      await delivered();
    });

    test('message, streamed by the helper', async () => {
      const final = await client.messages.stream(asking('helped along', way)).finalMessage();
      assert.equal(final.content[0].text, said('helped along'));
      assert.ok(final.usage.output_tokens > 0);
      await delivered();
    });

    test('tools', async () => {
      const answer = await client.messages.create(asking('The weather in Paris?', { tools: [WEATHER], ...way }));
      assert.equal(answer.stop_reason, 'tool_use');
      const [call] = answer.content;
      assert.equal(call.name, 'get_weather');
      assert.deepEqual(Object.keys(call.input).sort(), ['city', 'days']);
      assert.deepEqual((await delivered()).body.tools, [WEATHER]);
    });

    test('tools, streamed', async () => {
      const stream = client.messages.stream(asking('The weather in Rome?', { tools: [WEATHER], ...way }));
      const [call] = (await stream.finalMessage()).content;
      assert.equal(call.name, 'get_weather');
      assert.deepEqual(Object.keys(call.input).sort(), ['city', 'days']);
      await delivered();
    });
  });
}

test('a key as a bearer token', async () => {
  const bearer = stack.anthropic({ apiKey: null, authToken: stack.key });
  const answer = await bearer.messages.create(asking('bearer', { model: MODEL }));
  assert.equal(answer.content[0].text, said('bearer'));
  await delivered();
});

test('models', async () => {
  const ids = [];
  for await (const model of client.models.list({ limit: 1000 })) ids.push(model.id);
  for (const id of [MODEL, 'house-claude']) assert.ok(ids.includes(id), id);
  assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
  await assert.rejects(client.models.retrieve('claude-haiku-4-55'), Anthropic.NotFoundError);
});

test('the next provider answers', async () => {
  await stack.llmock.fail(529, { model: 'm-529' });
  const answer = await client.messages.create(
    asking('anyone?', { model: 'fails-messages-529:m-529', models: ['spare:spare-small'] }),
  );
  assert.equal(answer.content[0].text, 'The spare provider answers.');
  assert.equal((await stack.llmock.requests()).length, 1);
});

test('a stream that the provider drops does not look complete', async () => {
  await stack.llmock.script({ type: 'stream_fault', kind: 'disconnect', after_chunks: 5 });
  await assert.rejects(client.messages.stream(asking('go on', { model: MODEL })).finalMessage());
  assert.equal((await stack.llmock.requests()).length, 1);
});

// What is asked, the class that is thrown, and the code in it.
const REFUSALS = [
  ['an unknown model', { model: 'no-such-model' }, Anthropic.NotFoundError, 'model_not_found'],
  ['no model', { model: '' }, Anthropic.BadRequestError, 'invalid_request'],
  ['a model without messages', { model: 'fails-alone:m-alone' }, Anthropic.BadRequestError, 'surface_not_supported'],
  ['a provider out of reach', { model: 'dead:any' }, Anthropic.InternalServerError, 'all_candidates_failed'],
];

for (const [name, asked, thrown, code] of REFUSALS) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(client.messages.create(asking('no', asked)), (error) => {
      assert.ok(error instanceof thrown, error);
      assert.equal(error.error.error.code, code);
      assert.equal(error.error.request_id, error.headers.get('tollgate-request-id'));
      return true;
    });
    assert.deepEqual(await stack.llmock.requests(), []);
  });
}

test('refused: a wrong key', async () => {
  const other = stack.anthropic({ apiKey: `${stack.key.slice(0, -1)}${stack.key.endsWith('a') ? 'b' : 'a'}` });
  await assert.rejects(other.messages.create(asking('no', { model: MODEL })), (error) => {
    assert.ok(error instanceof Anthropic.AuthenticationError, error);
    assert.equal(error.error.error.code, 'invalid_access_key');
    return true;
  });
  assert.deepEqual(await stack.llmock.requests(), []);
});
