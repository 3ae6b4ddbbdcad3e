"""Every node of the pack, in the order of a graph. Read this first."""

from __future__ import annotations

from comfy_api.v0_0_2 import ComfyExtension

from . import (
    appearance,
    avatar,
    avatar_video,
    body_from_image,
    browser,
    canvas,
    choose_pose,
    dancing_avatar,
    depth_to_image,
    doctor,
    evaluate,
    frame_loop,
    hands,
    host,
    image_mesh_pairs,
    motion,
    part_map,
    parts_evaluation,
    parts_to_whole,
    personalize,
    pose_correction,
    pose_editor,
    pose_prior,
    preview_motion,
    ranking,
    render,
    replacements,
    shield,
    text_to_pose,
)

NODES = [
    # pose: words, numbers and priors -> BODY_POSE
    text_to_pose.LoadTextToPose,
    text_to_pose.TextToPose,
    ranking.RankPoses,
    pose_prior.LoadPosePrior,
    pose_prior.VPoserDecode,
    pose_prior.VPoserEncode,
    pose_prior.RegularisePose,
    hands.SetHands,
    choose_pose.ChoosePose,
    pose_editor.EditPose,
    # avatar: whom the pose moves
    avatar.LoadBodyModel,
    avatar.LoadAvatar,
    avatar.RetargetPose,
    avatar.CompareRetarget,
    avatar.AvatarTo3D,
    # render: a camera, and the pictures it takes
    render.FrameBody,
    render.RenderGrayBody,
    render.RenderAvatar,
    render.RenderDepth,
    render.RenderPoseMap,
    part_map.RenderPartMap,
    render.RenderStudio,
    canvas.GroundCamera,
    # personalization: the avatar inside a scene
    personalize.PasteAvatarBack,
    personalize.EncodeAvatar,
    personalize.LoadPersonalizationPatch,
    personalize.PersonalizeConditioning,
    canvas.ComposeAvatars,
    canvas.CropCanvas,
    canvas.StitchCanvas,
    canvas.OccluderFromDepth,
    # pose correction: broken bodies mended, pictures with their bodies kept
    body_from_image.FitBody,
    body_from_image.BodyFromSam3d,
    body_from_image.LoadBodyPose,
    pose_correction.DifficultyGate,
    pose_correction.KeepHardPictures,
    pose_correction.OccludedBodyDepth,
    depth_to_image.DepthToImageConditioning,
    pose_correction.AugmentPose,
    image_mesh_pairs.SaveImageMeshPairs,
    # Dancing Avatar: a person in motion, painted frame after frame
    dancing_avatar.BackgroundPlate,
    dancing_avatar.PreviousFrameGuide,
    frame_loop.DancingAvatarFrameLoop,
    appearance.PromptTemplate,
    appearance.PromptParse,
    appearance.TrainAppearanceModule,
    avatar_video.AvatarVideo,
    # Parts2Whole: one person from several reference pictures
    parts_to_whole.LoadPartsToWhole,
    parts_to_whole.ReferencePart,
    parts_to_whole.ApplyPartsToWhole,
    parts_evaluation.ReferenceSimilarity,
    # motion: files in and out, editing
    motion.LoadMotion,
    motion.EditMotion,
    motion.SaveMotion,
    preview_motion.PreviewMotion,
    motion.ToCoreRig,
    # measures
    evaluate.EvaluateVideo,
    evaluate.EvaluatePoses,
    # help
    doctor.Doctor,
]


class ContrappostoExtension(ComfyExtension):
    """What ComfyUI's loader asks for."""

    async def get_node_list(self):
        host.register_model_folders()
        browser.register_routes()
        doctor.warn_of_missing_packages()
        return [shield.protect(node) for node in NODES]

    async def on_load(self):
        """Called by a ComfyUI that knows replacements, and by no older one."""
        await replacements.register_replacements(replacements.REPLACEMENTS)
