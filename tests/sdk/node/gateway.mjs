// The running gateway and the fakes behind it, from ../python/stack.py: one way of starting them for both languages.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import Anthropic from '@anthropic-ai/sdk';
import OpenAI, { AzureOpenAI } from 'openai';

const STACK = process.env.TOLLGATE_STACK ?? fileURLToPath(new URL('../python/stack.py', import.meta.url));
const PYTHON = process.env.TOLLGATE_PYTHON ?? 'python3';

// Milliseconds. The longest that any answer here may take; the tests themselves are bounded by --test-timeout.
const TIMEOUT = 30_000;

/** Starts `serve` (with the fakes) or `dev` (with the echo alone). */
export async function start(kind) {
  const { says, stop } = await run(kind);
  return new Stack(says, stop);
}

/** Starts a kind of stack: what it says, and a way to end it. */
export async function run(kind) {
  const child = spawn(PYTHON, [STACK, kind], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const line = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    ended.then((code) => reject(new Error(`${kind} ended with ${code}`)));
  });
  const stop = async () => {
    // Its standard input is what keeps it running.
    child.stdin.end();
    await ended;
  };
  return { says: JSON.parse(line), stop };
}

class Stack {
  constructor({ url, key, llmock }, stop) {
    this.url = url;
    this.key = key;
    this.stop = stop;
    this.llmock = llmock && new Llmock(llmock);
  }

  /** A client as an application would make it, but one that does not retry: deliveries are counted here. */
  openai(options) {
    return new OpenAI({ baseURL: `${this.url}/v1`, apiKey: this.key, maxRetries: 0, timeout: TIMEOUT, ...options });
  }

  /** As `openai`, for Azure: these clients write the path themselves. */
  azure(options) {
    return new AzureOpenAI({ endpoint: this.url, apiKey: this.key, maxRetries: 0, timeout: TIMEOUT, ...options });
  }

  /** As `openai`; this client writes `/v1` itself. */
  anthropic(options) {
    return new Anthropic({ baseURL: this.url, apiKey: this.key, maxRetries: 0, timeout: TIMEOUT, ...options });
  }
}

/** The journal and the faults of the first fake. */
class Llmock {
  constructor(url) {
    this.url = url;
  }

  reset() {
    return this.#post('/_llmock/reset');
  }

  /** The next request of this kind is answered with an error, in that provider's shape. */
  fail(status, match, more) {
    return this.script({ type: 'fail', status, match, ...more });
  }

  script(...behaviors) {
    return this.#post('/_llmock/scenario', { behaviors });
  }

  /** What arrived, oldest first. */
  async requests() {
    const answer = await fetch(`${this.url}/_llmock/requests`);
    return (await answer.json()).requests;
  }

  async #post(path, body) {
    const answer = await fetch(this.url + path, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  }
}
