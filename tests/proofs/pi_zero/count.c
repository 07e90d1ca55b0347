/* Counts the instructions that a program under qemu-user executes, thread by thread.

   The counts are in a file which others map: so many as there are marks can be read at any time, by
   the program itself and by who started it. A mark is a seek of any file to 0x5eed00000000: the two
   words at the file's start are then what the thread that made it, and what all, had executed up to
   there. A datagram socket to the machine itself, as sd_notify makes one, leaves the same behind
   in the third and fourth word, the first time the first thread makes one.

       qemu-arm -plugin libcount.so,counts=FILE[,places=FILE] …

   `places` gets at the end, a line each, how many instructions were executed in which mapped file.
   Nothing of QEMU's headers is needed: what is used is declared here, and the same since QEMU 4.2. */

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

extern void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(
    struct qemu_plugin_tb *, void (*)(unsigned, void *), enum qemu_plugin_cb_flags, void *);
extern void qemu_plugin_register_vcpu_syscall_cb(
    qemu_plugin_id_t,
    void (*)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
             uint64_t, uint64_t, uint64_t));
extern void qemu_plugin_register_atexit_cb(
    qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *);

#ifndef VERSION
#define VERSION 1
#endif
__attribute__((visibility("default"))) int qemu_plugin_version = VERSION;

enum { LLSEEK = 140, SOCKET = 281, MARK = 0x5eed, LOCAL = 1, DATAGRAM = 2 };
enum { THREADS = 256, APART = 8, HEAD = 8 };

/* One place in translated code. Threads may lose a few of each other's counts in `times`. */
struct block {
    struct block *next;
    const void *where;
    uint64_t length, times;
};

static volatile uint64_t *shared;
static struct block *blocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *places;

static volatile uint64_t *of_thread(unsigned thread)
{
    /* A cache line each; what no place is left for is counted with the last. */
    return shared + HEAD + APART * (thread < THREADS ? thread : THREADS - 1);
}

static void executed(unsigned thread, void *data)
{
    struct block *block = data;
    *of_thread(thread) += block->length;
    block->times++;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *code)
{
    struct block *block = calloc(1, sizeof *block);
    if (block == NULL)
        abort();
    block->length = qemu_plugin_tb_n_insns(code);
    block->where = qemu_plugin_insn_haddr(qemu_plugin_tb_get_insn(code, 0));
    pthread_mutex_lock(&lock);
    block->next = blocks;
    blocks = block;
    pthread_mutex_unlock(&lock);
    qemu_plugin_register_vcpu_tb_exec_cb(code, executed, QEMU_PLUGIN_CB_NO_REGS, block);
}

static uint64_t total(void)
{
    uint64_t sum = 0;
    for (unsigned thread = 0; thread < THREADS; thread++)
        sum += *of_thread(thread);
    return sum;
}

static void called(qemu_plugin_id_t id, unsigned thread, int64_t number, uint64_t a1, uint64_t a2,
                   uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    if (number == LLSEEK && a2 == MARK) {
        shared[0] = *of_thread(thread);
        shared[1] = total();
    } else if (number == SOCKET && a1 == LOCAL && (a2 & 0xf) == DATAGRAM && thread == 0 &&
               shared[2] == 0) {
        shared[2] = *of_thread(thread);
        shared[3] = total();
    }
}

static void ended(qemu_plugin_id_t id, void *data)
{
    FILE *maps = fopen("/proc/self/maps", "r"), *told = fopen(places, "w");
    char line[4096], file[4096];
    uintptr_t first, last;
    if (maps == NULL || told == NULL)
        return;
    while (fgets(line, sizeof line, maps) != NULL) {
        uint64_t sum = 0;
        file[0] = '\0';
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %4095s", &first, &last, file) < 2)
            continue;
        for (struct block *block = blocks; block != NULL; block = block->next)
            if ((uintptr_t)block->where >= first && (uintptr_t)block->where < last)
                sum += block->length * block->times;
        if (sum != 0)
            fprintf(told, "%" PRIu64 " %s\n", sum, file[0] != '\0' ? file : "-");
    }
    fclose(told);
    fclose(maps);
}

__attribute__((visibility("default"))) int
qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count, char **words)
{
    size_t size = sizeof(uint64_t) * (HEAD + APART * THREADS);
    int file = -1;
    for (int i = 0; i < count; i++) {
        if (strncmp(words[i], "counts=", 7) == 0)
            file = open(words[i] + 7, O_RDWR | O_CREAT | O_TRUNC, 0644);
        else if (strncmp(words[i], "places=", 7) == 0)
            places = strdup(words[i] + 7);
    }
    if (file < 0 || ftruncate(file, (off_t)size) != 0) {
        fprintf(stderr, "count.c: its file cannot be written: give one as counts=FILE\n");
        return 1;
    }
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    if (places != NULL)
        qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
