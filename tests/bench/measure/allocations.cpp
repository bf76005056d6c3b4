// SPDX-License-Identifier: MIT
//
// The C library's functions are replaced by ones that count and then do what the C library's do. Sanitizers have
// replaced them already, and have a hook for this.
#include "measure/allocations.hpp"

#include <cerrno>

namespace {
constinit thread_local std::size_t count = 0;
}

namespace pcienic::bench {
std::size_t allocations() noexcept { return count; }
}  // namespace pcienic::bench

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

extern "C" int __sanitizer_install_malloc_and_free_hooks(  // NOLINT(bugprone-reserved-identifier)
    void (*malloc_hook)(const volatile void*, std::size_t), void (*free_hook)(const volatile void*));

namespace {
void count_one(const volatile void* /*memory*/, std::size_t /*size*/) { ++count; }
void ignore(const volatile void* /*memory*/) {}
[[maybe_unused]] const int kInstalled = __sanitizer_install_malloc_and_free_hooks(&count_one, &ignore);
}  // namespace

#else

extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): glibc's names
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t number, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

void* malloc(std::size_t size) {
    ++count;
    return __libc_malloc(size);
}
void* calloc(std::size_t number, std::size_t size) {
    ++count;
    return __libc_calloc(number, size);
}
void* realloc(void* memory, std::size_t size) {
    ++count;
    return __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
    ++count;
    return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    ++count;
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
    ++count;
    *memory = __libc_memalign(alignment, size);
    return *memory != nullptr ? 0 : ENOMEM;
}

}  // extern "C"

#endif
