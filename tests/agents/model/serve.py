"""llama.cpp's own server, which the package xllamacpp holds ready-made: ``python serve.py WEIGHTS PORT``.

It has one slot, as the tests expect.
"""

import signal
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"]
params.port = int(sys.argv[2])
params.n_ctx = 2048
params.n_parallel = 1
params.cpuparams.n_threads = 2
server = xllamacpp.Server(params)  # answers in threads of its own
signal.pause()
