"""The distance kernels of other libraries, one query against many rows a call, in a process of its own: reads a JSON object a line,
does it, answers with one. Their batch form is cdist; numkong's dots_packed wants rows that were packed before, which an index whose
rows come and go does not have."""
import importlib, time

import rival

METRICS = {"dot float32": "dot", "l2 float32": "sqeuclidean", "dot int8": "dot", "l2 int8": "sqeuclidean"}


class Worker:
    def open(self, library):
        self.library = importlib.import_module(library)
        self.arrays = {}
        return {"version": getattr(self.library, "__version__", "")}

    def kernel(self, kernel, dim, n, piece, least):
        """Goes over the rows piece by piece; the lower quartile of the seconds that a row takes."""
        import numpy as np
        if (kernel, dim, n) not in self.arrays:
            self.arrays.clear()
            rng = np.random.default_rng(1)
            if kernel.endswith("int8"):
                make = lambda rows: rng.integers(-127, 127, (rows, dim), np.int8)
            else:
                make = lambda rows: rng.standard_normal((rows, dim), np.float32)
            q, rows = make(1), make(n)
            self.arrays[kernel, dim, n] = q, [rows[at:at + piece] for at in range(0, n - piece + 1, piece)]
        q, pieces = self.arrays[kernel, dim, n]
        f, metric, took = self.library.cdist, METRICS[kernel], []
        began = time.perf_counter()
        while not took or time.perf_counter() - began < least:
            for rows in pieces:
                at = time.perf_counter()
                f(q, rows, metric)
                took.append(time.perf_counter() - at)
        took.sort()
        return {"seconds": took[len(took) // 4] / piece}


if __name__ == "__main__":
    rival.main(Worker())
