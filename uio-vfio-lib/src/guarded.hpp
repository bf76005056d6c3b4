// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How every function with an error_code is made from the one that throws.

#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

#include "uiovfio/error.hpp"

namespace uiovfio::detail {

/// Calls `function`; an exception becomes `ec` and an empty result. Running out of memory is Errc::system_error: there
/// is nothing that a caller could do about it that it would not do for any other failure.
template <class Function>
auto guarded(std::error_code& ec, Function&& function) noexcept -> std::invoke_result_t<Function> {
    using Result = std::invoke_result_t<Function>;
    ec.clear();
    try {
        return std::forward<Function>(function)();
    } catch (const Error& error) {
        ec = error.code();
    } catch (...) {
        ec = make_error_code(Errc::system_error);
    }
    if constexpr (!std::is_void_v<Result>) return Result{};
}

}  // namespace uiovfio::detail
