// Package quality asks an engine real questions and measures how much of what
// answers them comes back, with no language model: evidence recall on LoCoMo
// and HotpotQA, nDCG and recall on the NPL collection.
//
// Every set is asked with the same parameters, the engine's defaults; a metric
// is the mean over questions, with a bootstrap interval. The sets are not part
// of the repository; they lie in the folder that ENGRAM_DATA names.
package quality
