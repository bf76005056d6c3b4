// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Faults that can be built into the library, so that its tests are seen to go red for them. In every product build
/// these are constants, and nothing of it is left in the code. The target uiovfio_mutated alone is compiled with
/// UIOVFIO_MUTATIONS; there, the environment variable of that name chooses one of them.

#ifdef UIOVFIO_MUTATIONS
#include <cstdlib>
#include <string_view>
#endif

namespace uiovfio::detail::mutation {

#ifdef UIOVFIO_MUTATIONS
inline bool is_chosen(std::string_view name) noexcept {
    const char* chosen = std::getenv("UIOVFIO_MUTATIONS");
    return chosen != nullptr && name == chosen;
}
inline const bool kNoRearmAfterReset = is_chosen("no-rearm-after-reset");
inline const bool kNoSuperpageAlignment = is_chosen("no-superpage-alignment");
inline const bool kNoEventfdDrain = is_chosen("no-eventfd-drain");
inline const bool kNoBusMaster = is_chosen("no-bus-master");
#else
inline constexpr bool kNoRearmAfterReset = false;     ///< vectors stay disarmed after a reset
inline constexpr bool kNoSuperpageAlignment = false;  ///< bus addresses of large memory are only page-aligned
inline constexpr bool kNoEventfdDrain = false;        ///< an eventfd is looked at and not read
inline constexpr bool kNoBusMaster = false;           ///< opening does not set the Bus Master bit
#endif

}  // namespace uiovfio::detail::mutation
