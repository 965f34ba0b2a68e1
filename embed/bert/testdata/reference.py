"""The reference that the tests compare with: a BERT in numpy and the tokenizers of Hugging Face.

    python -m venv v && v/bin/pip install numpy==2.4.6 tokenizers==0.23.3
    v/bin/python reference.py tiny                   # makes tiny/: a network of chance, with what it answers
    v/bin/python reference.py DIR ../../minilm/testdata   # what the model in DIR answers to texts.txt

It shares nothing with the Go code.
"""
import json
import math
import os
import random
import struct
import sys

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

erf = np.vectorize(math.erf, otypes=[np.float64])
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tokenizer(vocab, limit):
    t = Tokenizer(WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    t.pre_tokenizer = BertPreTokenizer()
    t.add_special_tokens(SPECIAL)
    ids = {s: vocab.index(s) for s in SPECIAL}
    t.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])])
    if limit:
        t.enable_truncation(limit)
    return t


def read_safetensors(path):
    b = open(path, "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    head = json.loads(b[8:8 + n])
    out = {}
    for k, v in head.items():
        if k == "__metadata__" or v["dtype"] != "F32":
            continue
        x, y = v["data_offsets"]
        out[k] = np.frombuffer(b[8 + n + x:8 + n + y], "<f4").reshape(v["shape"]).astype(np.float64)
    return out


def write_safetensors(path, arrays):
    head, at, data = {}, 0, b""
    for k, v in arrays.items():
        raw = v.astype("<f4").tobytes()
        head[k] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [at, at + len(raw)]}
        at, data = at + len(raw), data + raw
    h = json.dumps(head).encode()
    open(path, "wb").write(struct.pack("<Q", len(h)) + h + data)


def norm(x, w, name, eps):
    m, v = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - m) / np.sqrt(v + eps) * w[name + ".LayerNorm.weight"] + w[name + ".LayerNorm.bias"]


def linear(x, w, name):
    return x @ w[name + ".weight"].T + w[name + ".bias"]


def forward(w, c, ids):
    n, heads, size = len(ids), c["num_attention_heads"], c["hidden_size"] // c["num_attention_heads"]
    e, eps = "embeddings.", c["layer_norm_eps"]
    x = w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][:n] + w[e + "token_type_embeddings.weight"][0]
    x = norm(x, w, "embeddings", eps)
    for i in range(c["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        q, k, v = (linear(x, w, p + "attention.self." + s).reshape(n, heads, size).transpose(1, 0, 2) for s in ("query", "key", "value"))
        s = q @ k.transpose(0, 2, 1) / math.sqrt(size)
        s = np.exp(s - s.max(-1, keepdims=True))
        y = (s / s.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(n, -1)
        x = norm(x + linear(y, w, p + "attention.output.dense"), w, p + "attention.output", eps)
        u = linear(x, w, p + "intermediate.dense")
        u = u / 2 * (1 + erf(u / math.sqrt(2)))
        x = norm(x + linear(u, w, p + "output.dense"), w, p + "output", eps)
    m = x.mean(0)
    return m / np.linalg.norm(m)


def noise(rng):
    """A text of chance, with all that a tokenizer may stumble over."""
    def one():
        k = rng.random()
        if k < .3:
            return chr(rng.randrange(0x20, 0x7f))
        if k < .4:
            return rng.choice(" \t\n\r\u00a0\u200b\u2028\x01\x85\ufeff\u3000\u00ad")
        if k < .6:
            return chr(rng.randrange(0x80, 0x600))
        if k < .7:
            return chr(rng.randrange(0x300, 0x370))
        if k < .8:
            return chr(rng.choice([0x4e00, 0xac00, 0xf900, 0x3400, 0x20000, 0x2f800, 0x3040]) + rng.randrange(200))
        if k < .9:
            c = rng.randrange(0x10000)
            return "\u00df" if 0xd800 <= c < 0xe000 else chr(c)
        if k < .95:
            return chr(rng.randrange(0x10000, 0x110000))
        return rng.choice(SPECIAL + ["[", "##", "\u0130", "\u03a3", "\u01c5", "\ufb01", "e\u0301", "a" * 101, "the", "running"])
    return "".join(one() for _ in range(rng.choice([1, 3, 10, 40])))


def answers(dir, texts, precision):
    c = json.load(open(dir + "/config.json"))
    limit = json.load(open(dir + "/sentence_bert_config.json"))["max_seq_length"]
    vocab = open(dir + "/vocab.txt", encoding="utf8").read().rstrip("\n").split("\n")
    t, w = tokenizer(vocab, limit), read_safetensors(dir + "/model.safetensors")
    out = []
    for x in texts:
        ids = t.encode(x).ids
        out.append({"text": x, "ids": ids, "vector": [round(float(v), precision) for v in forward(w, c, ids)]})
    return out, t


def tiny():
    os.makedirs("tiny/1_Pooling", exist_ok=True)
    words = "the a cat dog sat on mat ran hello world run ##ning ##s ##ly quick brown fox un ##able , . ! ? e \u00df \u4e2d \u1112 ##\u1161 ##\u11ab ##e".split()
    vocab = SPECIAL + words
    open("tiny/vocab.txt", "w", encoding="utf8").write("\n".join(vocab) + "\n")
    c = dict(model_type="bert", hidden_act="gelu", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
             vocab_size=len(vocab), max_position_embeddings=40, layer_norm_eps=1e-12, position_embedding_type="absolute")
    json.dump(c, open("tiny/config.json", "w"), indent=1)
    json.dump({"max_seq_length": 24}, open("tiny/sentence_bert_config.json", "w"))
    json.dump({"do_lower_case": True}, open("tiny/tokenizer_config.json", "w"))
    json.dump({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, open("tiny/1_Pooling/config.json", "w"))
    g = np.random.Generator(np.random.PCG64(5))
    r, h, inner = lambda *s: g.normal(0, .3, s).astype(np.float32), 32, 48
    a = {"embeddings.word_embeddings.weight": r(len(vocab), h), "embeddings.position_embeddings.weight": r(40, h), "embeddings.token_type_embeddings.weight": r(2, h)}

    def add_norm(name):
        a[name + ".LayerNorm.weight"], a[name + ".LayerNorm.bias"] = 1 + r(h), r(h)

    def add_linear(name, out, n):
        a[name + ".weight"], a[name + ".bias"] = r(out, n), r(out)
    add_norm("embeddings")
    for i in range(2):
        p = f"encoder.layer.{i}."
        for s in ("query", "key", "value"):
            add_linear(p + "attention.self." + s, h, h)
        add_linear(p + "attention.output.dense", h, h)
        add_norm(p + "attention.output")
        add_linear(p + "intermediate.dense", inner, h)
        add_linear(p + "output.dense", h, inner)
        add_norm(p + "output")
    write_safetensors("tiny/model.safetensors", a)
    texts = ["the cat sat on the mat.", "Hello, World!", "a QUICK brown fox running unably", "zebra", "\u4e2d\u6587 \ud55c cat", "caf\u00e9 e\u0301 \u00df",
             "the dog ran. " * 12, "[MASK] the[SEP]dog", "a", "\U0001f98a fox\u200b\x00es\tquickly\u3000run"]
    out, _ = answers("tiny", texts, 7)
    json.dump(out, open("tiny/expected.json", "w"), indent=0)


def real(dir, to):
    texts = [l.rstrip("\n") for l in open(to + "/texts.txt", encoding="utf8") if l.strip()]
    out, t = answers(dir, texts, 5)
    json.dump(out, open(to + "/vectors.json", "w"))
    rng = random.Random(11)
    json.dump([{"text": x, "ids": t.encode(x).ids} for x in (noise(rng) for _ in range(600))], open(to + "/tokens.json", "w"))


if sys.argv[1] == "tiny":
    tiny()
else:
    real(sys.argv[1], sys.argv[2])
