// SPDX-License-Identifier: MIT
#include "cli/interruption.hpp"

namespace pcienic::cli {

Interruption::Interruption() noexcept {
    came_ = 0;
    struct sigaction note{};
    note.sa_handler = [](int) {
        came_ = 1;
        sigaction(SIGINT, &previous_, nullptr);
    };
    sigaction(SIGINT, nullptr, &previous_);  // before the handler can run
    sigaction(SIGINT, &note, nullptr);
}

Interruption::~Interruption() { sigaction(SIGINT, &previous_, nullptr); }

}  // namespace pcienic::cli
