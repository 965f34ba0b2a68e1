"""One rival in a process of its own: reads a JSON object a line, does it, answers with one.

The processor's time outside of the timed loops does not count, so queries are made ready before the clock starts.
Whoever starts it has set the environment so that every library has one thread, but for building."""
import importlib.metadata, json, os, shutil, sys, time


def anon_bytes():
    """Memory that is this process's own: files that are mapped do not count."""
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    return 0


class Faiss:
    """FAISS under one of three names; batch searches with one thread are the same loop in C++."""
    package = "faiss-cpu"

    def build(self, base, metric, threads, kind):
        import faiss
        self.faiss, d, n = faiss, base.shape[1], base.shape[0]
        m = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        faiss.omp_set_num_threads(threads)
        if kind == "faiss-hnsw":
            self.index = faiss.IndexHNSWFlat(d, 16, m)
        elif kind == "faiss-hnsw-8bit":
            self.index = faiss.IndexHNSWSQ(d, faiss.ScalarQuantizer.QT_8bit, 16, m)
        else:
            lists = max(16, int(n ** 0.5))
            self.index = faiss.index_factory(d, f"IVF{lists},RaBitQ,RFlat", m)
        if hasattr(self.index, "hnsw"):
            self.index.hnsw.efConstruction = 200
        if not self.index.is_trained:
            self.index.train(base[:: max(1, n // 100_000)])
        self.index.add(base)

    def tune(self, effort):
        faiss = self.faiss
        faiss.omp_set_num_threads(1)
        if hasattr(self.index, "hnsw"):
            self.index.hnsw.efSearch = effort[0]
            return
        faiss.downcast_index(self.index.base_index).nprobe = effort[0]
        self.index.k_factor = effort[1]

    def ready(self, queries):
        import numpy as np
        self.queries, self.one = queries, [queries[i:i + 1] for i in range(len(queries))]
        swig = self.faiss.swig_ptr
        self.d, self.i = np.empty((1, 64), np.float32), np.empty((1, 64), np.int64)
        self.pd, self.pi, self.pq = swig(self.d), swig(self.i), [swig(q) for q in self.one]

    def each(self, k, part):  # the call of the C++ class, without the wrapper's checks and arrays
        f, d, i = self.index.search_c, self.pd, self.pi
        for q in self.pq[part]:
            f(1, q, k, d, i)

    def block(self, k, part=slice(None)):
        return self.index.search(self.queries[part], k)[1]


class Hnswlib:
    package = "hnswlib"

    def build(self, base, metric, threads, kind):
        import hnswlib
        self.index = hnswlib.Index(space="l2" if metric == "l2" else "ip", dim=base.shape[1])
        self.index.init_index(max_elements=base.shape[0], M=16, ef_construction=200)
        self.index.add_items(base, num_threads=threads)
        self.index.set_num_threads(1)

    def tune(self, effort):
        self.index.set_ef(effort[0])

    def ready(self, queries):
        self.queries, self.one = queries, [queries[i:i + 1] for i in range(len(queries))]

    def each(self, k, part):
        f = self.index.knn_query
        for q in self.one[part]:
            f(q, k, 1)

    def block(self, k, part=slice(None)):
        return self.index.knn_query(self.queries[part], k, num_threads=1)[0]

    def filtered(self, k, allowed):
        f, out = self.index.knn_query, []
        for q in self.one:
            try:
                out.append(f(q, k, 1, allowed.__getitem__)[0][0].tolist())
            except RuntimeError:  # it refuses to answer with fewer than k
                out.append([])
        return out


class Usearch:
    package = "usearch"

    def build(self, base, metric, threads, kind):
        from usearch.index import Index
        import numpy as np
        code = "i8" if kind.endswith("i8") else "f32"
        # Its 8-bit codes are of unit vectors under the cosine.
        name = "l2sq" if metric == "l2" and code == "f32" else "cos" if code == "i8" else "ip"
        self.index = Index(ndim=base.shape[1], metric=name, dtype=code, connectivity=16, expansion_add=200)
        self.index.add(np.arange(base.shape[0]), base, threads=threads)

    def tune(self, effort):
        self.index.expansion_search = effort[0]

    def ready(self, queries):
        self.queries, self.one = queries, list(queries)

    def each(self, k, part):
        f = self.index.search
        for q in self.one[part]:
            f(q, k, threads=1)

    def block(self, k, part=slice(None)):
        return self.index.search(self.queries[part], k, threads=1).keys


class Qdrant:
    package = "qdrant-edge-py"

    def build(self, base, metric, threads, kind):
        import qdrant_edge as qe
        self.qe, self.dir = qe, sys.argv[1]
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.shard = qe.EdgeShard.create(self.dir, qe.EdgeConfig(
            vectors=qe.EdgeVectorParams(size=base.shape[1], distance=qe.Distance.Euclid if metric == "l2" else qe.Distance.Dot),
            hnsw_config=qe.HnswIndexConfig(m=16, ef_construct=200, full_scan_threshold=10, max_indexing_threads=threads),
            optimizers=qe.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1000, max_segment_size=1 << 30),
            max_search_threads=1, wal_enabled=False))
        for at in range(0, len(base), 1000):
            part = base[at:at + 1000].tolist()
            self.shard.update(qe.UpdateOperation.upsert_points([qe.Point(at + j, v, {}) for j, v in enumerate(part)]))
        self.shard.optimize()

    def tune(self, effort):
        self.params = self.qe.SearchParams(hnsw_ef=effort[0])
        self.asked = None

    def ready(self, queries):
        self.vectors, self.asked = [q.tolist() for q in queries], None

    def requests(self, k):
        if self.asked is None:
            qe = self.qe
            self.asked = [qe.SearchRequest(query=qe.Query.Nearest(v), limit=k, params=self.params) for v in self.vectors]
        return self.asked

    def each(self, k, part):
        f = self.shard.search
        for r in self.requests(k)[part]:
            f(r)

    def ids(self, k):
        return [[p.id for p in self.shard.search(r)] for r in self.requests(k)]


KINDS = {"hnswlib": Hnswlib, "usearch": Usearch, "usearch-i8": Usearch, "qdrant-edge": Qdrant,
         "faiss-hnsw": Faiss, "faiss-hnsw-8bit": Faiss, "faiss-ivf-rabitq": Faiss}


class Worker:
    def open(self, kind, base, n, dim, metric):
        import numpy as np
        self.kind, self.metric = kind, metric
        self.rival = KINDS[kind]()
        self.base = np.memmap(base, np.float32, "r", shape=(n, dim))
        return {"version": importlib.metadata.version(self.rival.package)}

    def build(self, threads):
        before, began = anon_bytes(), time.perf_counter()
        self.rival.build(self.base, self.metric, threads, self.kind)
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "bytes": anon_bytes() - before}

    def queries(self, path, n):
        import numpy as np
        self.rival.ready(np.fromfile(path, np.float32).reshape(n, -1))
        return {}

    def ids(self, effort, k):
        self.rival.tune(effort)
        found = self.rival.ids(k) if hasattr(self.rival, "ids") else self.rival.block(k).tolist()
        return {"ids": [[int(i) for i in row if i >= 0] for row in found]}

    def time(self, effort, k, least, mode, n, together=50):
        """Asks one part of the n queries after the other, round and round, for at least so many seconds; two parts before, in which
        caches fill, do not count."""
        self.rival.tune(effort)
        f = getattr(self.rival, mode, None)
        if f is None:
            return {"asked": 0, "seconds": 0}
        parts = [slice(at, min(n, at + together)) for at in range(0, n, together)]
        f(k, parts[-2])
        f(k, parts[-1])
        asked, i, began = 0, 0, time.perf_counter()
        while True:
            part = parts[i % len(parts)]
            f(k, part)
            i, asked = i + 1, asked + part.stop - part.start
            took = time.perf_counter() - began
            if took >= least:
                return {"asked": asked, "seconds": took}

    def filtered(self, effort, k, allowed, path, n):
        import numpy as np
        mask = np.fromfile(allowed, np.uint8).astype(bool).tolist()
        self.rival.ready(np.fromfile(path, np.float32).reshape(n, -1))
        self.rival.tune(effort)
        began = time.perf_counter()
        ids = self.rival.filtered(k, mask)
        return {"ids": ids, "seconds": time.perf_counter() - began}


def main(w):
    """Does what w can, as long as it is asked; kernels.py, which lies beside this file, ends with it too."""
    answers = os.fdopen(os.dup(1), "w")  # libraries that print must not spoil the answers
    os.dup2(2, 1)
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            answer = getattr(w, ask.pop("do"))(**ask)
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(Worker())
