/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Runs a target without libFuzzer: each file of its corpus, then FUZZ_RUNS mutations of them from
 * SEED. TAP. An input that fails is written to standard error in hex before the process ends.
 */
#include <dirent.h>
#include <libgen.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX 65536
#define FILES_MAX 256

struct input {
	uint8_t *data;
	size_t len;
};

static struct input files[FILES_MAX];
static size_t n_files;
static const uint8_t *now;
static size_t now_len;

static void on_abort(int signo)
{
	char hex[3];

	for (size_t i = 0; i < now_len && i < 2000; i++) {
		int n = snprintf(hex, sizeof(hex), "%02x", now[i]);

		(void)!write(2, hex, (size_t)n);
	}
	(void)!write(2, "\n", 1);
	signal(signo, SIG_DFL);
	raise(signo);
}

static void load(const char *folder)
{
	DIR *d = opendir(folder);
	const struct dirent *f;

	while (d && (f = readdir(d)) && n_files < FILES_MAX) {
		char path[600];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%.250s", folder, f->d_name);
		FILE *in = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
		if (in) {
			struct input *x = &files[n_files++];

			x->data = malloc(INPUT_MAX);
			x->len = fread(x->data, 1, INPUT_MAX, in);
			fclose(in);
		}
	}
	if (d) {
		closedir(d);
	}
}

static size_t draw(unsigned *seed, size_t below)
{
	return below ? (((size_t)rand_r(seed) << 15) ^ (size_t)rand_r(seed)) % below : 0;
}

static const struct input *file(unsigned *seed)
{
	return &files[draw(seed, n_files)];
}

/* One of: a byte set, a bit turned, a range taken out, doubled, or put in from another file. */
static size_t mutate(uint8_t *v, size_t len, unsigned *seed)
{
	size_t at = draw(seed, len), n = 1 + draw(seed, 16);
	const struct input *other = file(seed);

	switch (draw(seed, 6)) {
	case 0:
		if (len) {
			v[at] = (uint8_t)draw(seed, 256);
		}
		return len;
	case 1:
		if (len) {
			v[at] ^= (uint8_t)(1u << draw(seed, 8));
		}
		return len;
	case 2:
		n = n < len - at ? n : len - at;
		memmove(v + at, v + at + n, len - at - n);
		return len - n;
	case 3:
		n = n < len - at ? n : len - at;
		if (len + n > INPUT_MAX) {
			return len;
		}
		memmove(v + at + n, v + at, len - at);
		return len + n;
	case 4:
		return at;
	default:
		n = draw(seed, other->len);
		if (at + n > INPUT_MAX) {
			return len;
		}
		memcpy(v + at, other->data + (other->len - n), n);
		return at + n > len ? at + n : len;
	}
}

static void run(const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1); /* so that a byte too far is seen */

	memcpy(exact, data, len);
	now = exact;
	now_len = len;
	LLVMFuzzerTestOneInput(exact, len);
	now_len = 0;
	free(exact);
}

int main(int argc, char **argv)
{
	const char *runs = getenv("FUZZ_RUNS"), *from = getenv("SEED"), *folder = argv[argc - 1];
	unsigned seed = (unsigned)strtoul(from ? from : "1", NULL, 10);
	long n = strtol(runs ? runs : "20000", NULL, 10);
	static uint8_t v[INPUT_MAX];
	char path[300];

	signal(SIGABRT, on_abort);
	signal(SIGSEGV, on_abort);
	snprintf(path, sizeof(path), "tests/fuzz/corpus/%.200s", basename(argv[0]));
	*strstr(path, "_fuzz") = '\0';
	load(argc > 1 ? folder : path);
	for (size_t i = 0; i < n_files; i++) {
		run(files[i].data, files[i].len);
	}
	printf("%s 1 - %zu files of the corpus\n", n_files ? "ok" : "not ok", n_files);
	for (long i = 0; i < n && n_files; i++) {
		const struct input *x = file(&seed);
		size_t len = x->len;

		memcpy(v, x->data, len);
		for (size_t k = 1 + draw(&seed, 4); k; k--) {
			len = mutate(v, len, &seed);
		}
		run(v, len);
	}
	printf("ok 2 - %ld mutations of them\n1..2\n", n);
	return n_files ? 0 : 1;
}
