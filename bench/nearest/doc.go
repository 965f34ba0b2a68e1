// Package nearest compares the index of nearest vectors with the rivals that
// people use, on the same vectors and in the same run: recall of the ten
// nearest against queries a second, time to build, memory; and what rivals do
// not show: filters, answers while vectors come in, churn, opening.
//
// Each rival runs in a process of its own (rival.py), in a virtual environment
// that is made on first use. Ours runs in this process. All have one thread for
// searching and are asked one query a call, in rounds that go from one to the
// next, so that what else happens on the machine hits all alike. A rival that is
// quicker when it is given all queries in one call is counted at that speed: the
// price of calling it from Python is not its own.
package nearest
