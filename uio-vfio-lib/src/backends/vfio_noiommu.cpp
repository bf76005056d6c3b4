// SPDX-License-Identifier: MIT
/// VFIO without an IOMMU: registers and interrupts as ever, and nothing between the device and all of memory. Only on
/// explicit request; the kernel marks itself tainted.

#include "backend_list.hpp"
#include "backends/vfio.hpp"
#include "backends/vfio_device.hpp"
#include "backends/vfio_group.hpp"

namespace uiovfio::detail {

namespace {

class NoIommuBackend final : public VfioDevice {
  public:
    NoIommuBackend(const Bdf& bdf, System& system, VfioOpened opened, const SysfsRoot& root)
        : VfioDevice{bdf, system, std::move(opened.device), root}, group_{std::move(opened.member)} {}
    ~NoIommuBackend() override { close(); }

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_of("vfio-noiommu"); }

  protected:
    void do_close() noexcept override {
        close_device();
        group_.leave();
    }
    void give_up_to_parent() noexcept override {
        VfioDevice::give_up_to_parent();
        if (group_) group_->close_files();  // none once the device is closed
    }
    [[nodiscard]] std::string_view why_not(Feature feature) const noexcept override {
        return feature == Feature::dma ? "without an IOMMU there are no bus addresses to give" : "";
    }

  private:
    VfioMember group_;
};

}  // namespace

std::shared_ptr<Backend> open_vfio_noiommu(const Bdf& bdf, const OpenOptions& options, System& system) {
    return make_fork_guarded<NoIommuBackend>(bdf, system, open_in_group(kNoIommuGroup, bdf, options, system),
                                             options.root);
}

std::shared_ptr<Backend> open_vfio_noiommu(const Bdf& bdf, const OpenOptions& options) {
    return open_vfio_noiommu(bdf, options, real_system());
}

}  // namespace uiovfio::detail
