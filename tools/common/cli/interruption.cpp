// SPDX-License-Identifier: MIT
#include "cli/interruption.hpp"

namespace pcienic::cli {

Interruption::Interruption() noexcept {
    came_ = false;
    struct sigaction note{};
    note.sa_handler = [](int) {
        came_ = true;
        sigaction(SIGINT, &previous_, nullptr);
    };
    sigaction(SIGINT, nullptr, &previous_);  // before the handler can run
    if (previous_.sa_handler != SIG_IGN) sigaction(SIGINT, &note, nullptr);
}

Interruption::~Interruption() { sigaction(SIGINT, &previous_, nullptr); }

}  // namespace pcienic::cli
