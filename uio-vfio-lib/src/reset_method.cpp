// SPDX-License-Identifier: MIT
#include "reset_method.hpp"

#include "kernel_text.hpp"

namespace uiovfio::detail {

bool reset_ends_dma(std::string_view methods) noexcept {
    std::string_view method = take_word(methods);
    if (method.empty()) return false;
    if (method == "flr" || method == "af_flr") return true;
    for (; !method.empty(); method = take_word(methods))
        if (method == "pm") return false;
    return true;
}

}  // namespace uiovfio::detail
