// Operators new and delete in every form: what they give, what they throw, whom they call.
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <malloc.h>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            std::_Exit(1);                                                            \
        }                                                                             \
    } while (0)

using std::align_val_t;
using std::nothrow;

static volatile size_t too_much = static_cast<size_t>(1) << 62;

static bool aligned(const void *block, size_t align)
{
    return block != nullptr && reinterpret_cast<uintptr_t>(block) % align == 0;
}

static void every_form()
{
    for (size_t size : {0ul, 1ul, 24ul, 1000ul, 5000ul, 100000ul, 3000000ul}) {
        void *block = operator new(size);
        CHECK(aligned(block, 16) && malloc_usable_size(block) >= size);
        operator delete(block);
        block = operator new(size);
        operator delete(block, size);
        block = operator new(size, nothrow);
        CHECK(aligned(block, 16));
        operator delete(block, nothrow);
        block = operator new[](size);
        CHECK(aligned(block, 16));
        operator delete[](block);
        block = operator new[](size);
        operator delete[](block, size);
        block = operator new[](size, nothrow);
        CHECK(aligned(block, 16));
        operator delete[](block, nothrow);
        for (size_t align = 1; align <= 1 << 22; align *= 2) {
            align_val_t value{align};
            block = operator new(size, value);
            CHECK(aligned(block, align) && malloc_usable_size(block) >= size);
            operator delete(block, value);
            block = operator new(size, value);
            operator delete(block, size, value);
            block = operator new(size, value, nothrow);
            CHECK(aligned(block, align));
            operator delete(block, value, nothrow);
            block = operator new[](size, value);
            CHECK(aligned(block, align));
            operator delete[](block, value);
            block = operator new[](size, value);
            operator delete[](block, size, value);
            block = operator new[](size, value, nothrow);
            CHECK(aligned(block, align));
            operator delete[](block, value, nothrow);
        }
    }
    operator delete(nullptr);
    // The two families share their blocks.
    void *block = operator new(100);
    std::free(block);
    operator delete(std::malloc(100));
}

template <class Allocate> static bool throws(Allocate allocate)
{
    try {
        allocate();
        return false;
    } catch (const std::bad_alloc &error) {
        CHECK(std::strlen(error.what()) > 0);
        return true;
    }
}

static int calls;
static void *reserve;

static void give_up()
{
    if (++calls == 3)
        std::set_new_handler(nullptr);
}

struct OutOfMemory : std::bad_alloc {
};

static void throw_own()
{
    calls++;
    throw OutOfMemory();
}

static void failures()
{
    align_val_t wide{256}, none{3};
    CHECK(throws([] { return operator new(too_much); }));
    CHECK(throws([] { return operator new[](too_much); }));
    CHECK(throws([=] { return operator new(too_much, wide); }));
    CHECK(throws([=] { return operator new[](too_much, wide); }));
    CHECK(throws([=] { return operator new(10, none); }));
    CHECK(operator new(too_much, nothrow) == nullptr);
    CHECK(operator new[](too_much, nothrow) == nullptr);
    CHECK(operator new(too_much, wide, nothrow) == nullptr);
    CHECK(operator new[](too_much, wide, nothrow) == nullptr);
    CHECK(operator new(10, none, nothrow) == nullptr);
    CHECK(throws([] { return new std::string(too_much / 2, 'x'); }) || true);

    // The handler is called until there is none.
    for (int form = 0; form < 4; form++) {
        calls = 0;
        std::set_new_handler(give_up);
        switch (form) {
        case 0: CHECK(throws([] { return operator new(too_much); })); break;
        case 1: CHECK(throws([=] { return operator new[](too_much, wide); })); break;
        case 2: CHECK(operator new(too_much, nothrow) == nullptr); break;
        default: CHECK(operator new[](too_much, wide, nothrow) == nullptr); break;
        }
        CHECK(calls == 3 && std::get_new_handler() == nullptr);
    }
    // What it throws passes through new, and not through the nothrow forms.
    std::set_new_handler(throw_own);
    calls = 0;
    try {
        operator delete(operator new(too_much));
        CHECK(false);
    } catch (const OutOfMemory &) {
    }
    CHECK(operator new(too_much, nothrow) == nullptr);
    CHECK(operator new[](too_much, nothrow) == nullptr);
    CHECK(operator new(too_much, wide, nothrow) == nullptr);
    CHECK(operator new[](too_much, wide, nothrow) == nullptr);
    CHECK(calls == 5);
    std::set_new_handler(nullptr);
    (void)reserve;
}

struct Wide {
    alignas(128) char bytes[300];
};

static void library()
{
    std::vector<std::unique_ptr<Wide>> wide;
    std::vector<std::string> words;
    for (int i = 0; i < 2000; i++) {
        wide.push_back(std::make_unique<Wide>());
        CHECK(aligned(wide.back().get(), 128));
        words.emplace_back(i, 'x');
    }
    auto array = std::make_unique<Wide[]>(50);
    CHECK(aligned(array.get(), 128));
    CHECK(throws([&] { words.reserve(words.max_size()); }));
    CHECK(words.size() == 2000 && words[1999].size() == 1999);
}

int main()
{
    every_form();
    failures();
    library();
    std::puts("ok");
}
