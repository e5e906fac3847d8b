// Each of the gateway's own errors, as each official client throws it: as ../python/test_dialects.py, by the same table.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';
import { ApiError, GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';

import { run } from './gateway.mjs';

const TIMEOUT = 30_000;
const maxRetries = 2;
const APIS = new Set(['openai', 'anthropic', 'gemini']);

async function readOut(answer, streamed) {
  if (streamed) for await (const _ of answer);
}

// As the classes of the Python tests.
const openai = {
  api: 'openai',
  retries: maxRetries,
  make: ({ url }, base, apiKey, defaultHeaders) =>
    new OpenAI({ baseURL: url + (base || '/v1'), apiKey, maxRetries, timeout: TIMEOUT, defaultHeaders }),
  get: (client, url) => client.get(url),
  async ask(client, model, text, body, stream) {
    const messages = [{ role: 'user', content: text }];
    await readOut(await client.chat.completions.create({ model, messages, stream, ...body }), stream);
  },
  // Others are `APIError` itself, but for 5xx.
  classOf: (status) =>
    ({
      400: OpenAI.BadRequestError,
      401: OpenAI.AuthenticationError,
      403: OpenAI.PermissionDeniedError,
      404: OpenAI.NotFoundError,
      429: OpenAI.RateLimitError,
    })[status] ?? (status >= 500 ? OpenAI.InternalServerError : OpenAI.APIError),
  inStream: OpenAI.APIError,
  read: (error) => ({ code: error.code, request: error.requestID, words: error.error.message }),
  readInStream: (error) => ({ code: error.code, request: error.error.request_id, words: error.message }),
};

const responses = {
  ...openai,
  async ask(client, model, input, body, stream) {
    await readOut(await client.responses.create({ model, input, stream, ...body }), stream);
  },
};

const anthropic = {
  api: 'anthropic',
  retries: maxRetries,
  make: ({ url }, base, apiKey, defaultHeaders) =>
    new Anthropic({ baseURL: url + base, apiKey, maxRetries, timeout: TIMEOUT, defaultHeaders }),
  get: (client, url) => client.get(url),
  async ask(client, model, text, body, stream) {
    const asked = { model, max_tokens: 99, messages: [{ role: 'user', content: text }], stream, ...body };
    await readOut(await client.messages.create(asked), stream);
  },
  classOf: (status) =>
    ({
      400: Anthropic.BadRequestError,
      401: Anthropic.AuthenticationError,
      402: Anthropic.PaymentRequiredError,
      403: Anthropic.PermissionDeniedError,
      404: Anthropic.NotFoundError,
      413: Anthropic.ContentTooLargeError,
      429: Anthropic.RateLimitError,
      431: Anthropic.RequestHeaderFieldsTooLargeError,
      503: Anthropic.ServiceUnavailableError,
      504: Anthropic.GatewayTimeoutError,
    })[status] ?? (status >= 500 ? Anthropic.InternalServerError : Anthropic.APIError),
  inStream: Anthropic.APIError,
  read: (error) => ({ code: error.errorCode, request: error.requestID, words: error.apiMessage }),
  readInStream: (error) => ({ code: error.errorCode, request: error.error.request_id, words: error.apiMessage }),
};

const gemini = {
  api: 'gemini',
  // Unless it is told to; it looks at the status alone then.
  retries: 0,
  make: ({ url }, base, apiKey, headers) =>
    new GoogleGenAI({ apiKey, httpOptions: { baseUrl: url + base, headers, timeout: TIMEOUT } }),
  async ask(client, model, contents, extraBody, streamed) {
    const asked = { model, contents, config: { httpOptions: { extraBody } } };
    const answer = await (streamed ? client.models.generateContentStream(asked) : client.models.generateContent(asked));
    await readOut(answer, streamed);
  },
  classOf: () => ApiError,
  inStream: ApiError,
  // It has the answer's text for its message.
  read(error) {
    const { message, details } = JSON.parse(error.message.slice(error.message.indexOf('{'))).error;
    return { code: details[0].reason, request: details[1].requestId, words: message };
  },
  readInStream: (error) => gemini.read(error),
};

const CLIENTS = { openai, responses, anthropic, gemini };

let stack;
before(async () => {
  stack = await run('refusals');
});
after(() => stack?.stop());

/** A value of the row, which may be there for each API. */
function byApi(row, name, client, usual) {
  const value = row[name] ?? usual;
  const perApi = value && typeof value === 'object' && Object.keys(value).every((key) => APIS.has(key));
  return perApi ? (value[client.api] ?? usual) : value;
}

async function thrownBy(client, gateway, row, streamed) {
  const made = client.make(gateway, row.base ?? '', gateway.keys[row.key ?? 'usual'], row.headers ?? {});
  const path = byApi(row, 'get', client);
  const model = byApi(row, 'model', client, 'house:any');
  const body = byApi(row, 'body', client, {});
  const asked = path
    ? client.get(made, gateway.url + path)
    : client.ask(made, model, row.text ?? 'hi', body, streamed);
  return asked.then(
    () => assert.fail('taken for good'),
    (error) => error,
  );
}

/** The sum of a gateway's counters whose lines begin so. */
async function count({ admin }, begin) {
  const lines = (await (await fetch(`${admin}/metrics`)).text()).split('\n').filter((line) => line.startsWith(begin));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

for (const [name, client] of Object.entries(CLIENTS)) {
  describe(name, () => {
    for (const streamed of [false, true]) {
      test(`each error, ${streamed ? 'streamed' : 'whole'}`, { timeout: 300_000 }, async (t) => {
        for (const row of stack.says.table) {
          if (row.without?.[client.api]) continue;
          await t.test([row.code, row.how].filter(Boolean).join(', '), async () => {
            const gateway = stack.says.gateways[row.gateway ?? 'usual'];
            const counter = `tollgate_rejections_total{code="${row.code}"} `;
            const before = await count(gateway, counter);
            const began = performance.now();
            const error = await thrownBy(client, gateway, row, streamed);
            const took = performance.now() - began;
            assert.equal(error.constructor, client.classOf(row.status), error);
            assert.equal(error.status, row.status);
            const { code, request, words } = client.read(error);
            assert.equal(code, row.code);
            assert.equal(request, error.headers?.get('tollgate-request-id') ?? request);
            assert.match(request, /^req_[0-9a-z]{26}$/);
            assert.ok(words.length > 10);
            const again = row.retried ? client.retries : 0;
            assert.equal((await count(gateway, counter)) - before, 1 + again);
            // It waited as long as it was told, which is longer than it would by itself.
            if (again) assert.ok(took >= again * 1000 * Number(error.headers.get('retry-after')) - 5, `${took} ms`);
          });
        }
      });
    }

    test('errors in a stream that has begun', async (t) => {
      for (const row of stack.says.broken) {
        if (row.without?.[client.api]) continue;
        await t.test(row.code, async () => {
          const gateway = stack.says.gateways.usual;
          const before = await count(gateway, 'tollgate_requests_total{');
          const error = await thrownBy(client, gateway, row, true);
          assert.equal(error.constructor, client.inStream, error);
          const { code, request, words } = client.readInStream(error);
          assert.equal(code, row.code);
          assert.match(request, /^req_[0-9a-z]{26}$/);
          assert.match(words, /incomplete/);
          // What has begun is not asked for again.
          assert.equal((await count(gateway, 'tollgate_requests_total{')) - before, 1);
        });
      }
    });
  });
}
