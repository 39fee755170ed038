/* Freestone as malloc: what libfreestone_preload.so and libfreestone_preload.a define.
 *
 * A program needs this header only for what its C library's headers lack: the names are the
 * usual ones. C++ operators new and delete, in every form, and glibc's own names for the same
 * functions (__libc_malloc and its relatives) are defined as well, and declared nowhere.
 */
#ifndef FREESTONE_H
#define FREESTONE_H

#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#define FREESTONE_NOEXCEPT noexcept
#else
#define FREESTONE_NOEXCEPT
#endif

/* C. Every block is aligned to 16 bytes at least. No memory, or a size beyond PTRDIFF_MAX: null,
 * and errno is ENOMEM. malloc(0) is a block of its own. */
void *malloc(size_t size) FREESTONE_NOEXCEPT;
void *calloc(size_t count, size_t size) FREESTONE_NOEXCEPT;
/* realloc(p, 0) frees p and returns null; realloc(NULL, 0) is malloc(0). */
void *realloc(void *block, size_t size) FREESTONE_NOEXCEPT;
void *reallocarray(void *block, size_t count, size_t size) FREESTONE_NOEXCEPT;
/* Frees keep errno. A pointer that is no allocation is reported on standard error, and the
 * process aborts, unless it was started with FREESTONE_ON_MISUSE=report. */
void free(void *block) FREESTONE_NOEXCEPT;
void cfree(void *block) FREESTONE_NOEXCEPT;
/* C23. What is known of the block besides its address is not used. */
void free_sized(void *block, size_t size) FREESTONE_NOEXCEPT;
void free_aligned_sized(void *block, size_t align, size_t size) FREESTONE_NOEXCEPT;

/* Alignments are powers of two; for others errno is EINVAL, also in memalign. */
void *aligned_alloc(size_t align, size_t size) FREESTONE_NOEXCEPT;
void *memalign(size_t align, size_t size) FREESTONE_NOEXCEPT;
void *valloc(size_t size) FREESTONE_NOEXCEPT;
void *pvalloc(size_t size) FREESTONE_NOEXCEPT;
/* Returns 0, EINVAL or ENOMEM, and leaves errno alone. */
int posix_memalign(void **place, size_t align, size_t size) FREESTONE_NOEXCEPT;

/* Bytes the block has room for, all of which may be used; 0 for null. */
size_t malloc_usable_size(void *block) FREESTONE_NOEXCEPT;

/* Gives back to the kernel what is only kept for reuse. 1 if there was any such thing. */
int malloc_trim(size_t padding) FREESTONE_NOEXCEPT;
/* On standard error. */
void malloc_stats(void) FREESTONE_NOEXCEPT;
/* XML. Returns 0, or -1 with errno EINVAL for options other than 0. */
int malloc_info(int options, FILE *stream) FREESTONE_NOEXCEPT;
/* Accepts glibc's options (M_MXFAST, M_TRIM_THRESHOLD to M_ARENA_MAX), which have no effect, and
 * returns 1; 0 for any other. */
int mallopt(int option, int value) FREESTONE_NOEXCEPT;

/* mallinfo and mallinfo2, whose structures are declared by <malloc.h>. The fields for fast bins,
 * which there are none of, are zero. */

#ifdef __cplusplus
}
#endif

#endif
