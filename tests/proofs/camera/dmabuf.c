/* Where the kernel has no /dev/dma_heap and no /dev/udmabuf, memfds stand in for their buffers.
   Preloaded: it answers for these two devices, and passes everything else on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_ours(const char *path)
{
	return path && (!strcmp(path, "/dev/udmabuf") || !strncmp(path, "/dev/dma_heap/", 14));
}

#define MODE(flags)                                                                       \
	mode_t mode = 0;                                                                  \
	if (flags & (O_CREAT | O_TMPFILE)) {                                              \
		va_list more;                                                             \
		va_start(more, flags);                                                    \
		mode = va_arg(more, mode_t);                                              \
		va_end(more);                                                             \
	}

#define OPEN(name)                                                                        \
	int name(const char *path, int flags, ...)                                        \
	{                                                                                 \
		MODE(flags)                                                               \
		int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);            \
		return is_ours(path) ? memfd_create("heap", MFD_CLOEXEC) : next(path, flags, mode); \
	}

#define OPENAT(name)                                                                      \
	int name(int folder, const char *path, int flags, ...)                            \
	{                                                                                 \
		MODE(flags)                                                               \
		int (*next)(int, const char *, int, ...) = dlsym(RTLD_NEXT, #name);       \
		return is_ours(path) ? memfd_create("heap", MFD_CLOEXEC)                  \
				     : next(folder, path, flags, mode);                   \
	}

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int ioctl(int fd, unsigned long request, ...)
{
	va_list more;
	va_start(more, request);
	void *argument = va_arg(more, void *);
	va_end(more);
	switch ((uint32_t)request) {
	case (uint32_t)UDMABUF_CREATE:
		return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
	case (uint32_t)DMA_HEAP_IOCTL_ALLOC: {
		struct dma_heap_allocation_data *wanted = argument;
		int memory = memfd_create("dmabuf", MFD_CLOEXEC);
		if (memory < 0 || ftruncate(memory, wanted->len))
			return -1;
		wanted->fd = memory;
		return 0;
	}
	case (uint32_t)DMA_BUF_IOCTL_SYNC:
	case (uint32_t)DMA_BUF_SET_NAME_A:
	case (uint32_t)DMA_BUF_SET_NAME_B:
		return 0;
	}
	int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
	return next(fd, request, argument);
}
