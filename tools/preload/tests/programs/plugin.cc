// A plug-in: constructor and destructor that allocate, thread-local state with a destructor,
// threads, and a C++ runtime that the program itself may not have.
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

namespace {
struct Global {
    std::vector<std::string> words;
    Global() : words(1000, std::string(100, 'x')) {}
    ~Global() { words.push_back(std::string(1000, 'y')); }
} global;

struct Local {
    std::string word = std::string(500, 'z');
    ~Local() { word += std::string(5000, 'w'); }
};
thread_local Local local;
} // namespace

extern "C" char *plugin_make(size_t size)
{
    std::thread([] { local.word += "a"; }).join();
    // Memory that cannot be had, in a program whose C++ runtime came with this plug-in.
    volatile size_t too_much = static_cast<size_t>(1) << 62;
    try {
        delete[] new char[too_much];
        std::abort();
    } catch (const std::bad_alloc &) {
    }
    if (new (std::nothrow) char[too_much] != nullptr)
        std::abort();
    return static_cast<char *>(std::calloc(size, 1));
}

extern "C" void plugin_take(char *text)
{
    std::free(text);
    global.words.emplace_back(2000, 'v');
}
