/* Operator new in a program that has no C++ runtime. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

void *_Znwm(size_t);
void *_ZnwmRKSt9nothrow_t(size_t, const void *);
void _ZdlPv(void *);

int main(void)
{
    volatile size_t too_much = (size_t)1 << 62;
    setbuf(stdout, NULL);
    void *block = _Znwm(10);
    if (block != NULL)
        puts("small");
    _ZdlPv(block);
    if (_ZnwmRKSt9nothrow_t(too_much, "") == NULL)
        puts("nothrow");
    _ZdlPv(_Znwm(too_much));
    puts("went on");
}
