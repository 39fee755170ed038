// A failed `new` throws what the runtime has for it, or what the new-handler throws.
#include <cstdio>
#include <new>

struct OutOfMemory : std::bad_alloc {
};

static void throw_own() { throw OutOfMemory(); }

int main()
{
    const std::size_t too_much = ~std::size_t{0} >> 2;
    int caught = 0;
    try {
        operator delete(operator new(too_much));
    } catch (const std::bad_alloc &) {
        caught++;
    }
    std::set_new_handler(throw_own);
    try {
        operator delete(operator new(too_much));
    } catch (const OutOfMemory &) {
        caught++;
    }
    std::puts(caught == 2 ? "ok" : "not caught");
}
